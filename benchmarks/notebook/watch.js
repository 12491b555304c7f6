// Notes what the page of a diagram does while a stream runs, and how soon it answers a click. Runs in the page.
(() => {
  const { diagram } = document.querySelector(".rxm");
  const watch = { deltas: [], drawings: [], drawing_ms: [], frame_ms: [], task_ms: [], click_ms: [], done_ms: null };

  const { delta } = diagram.store;
  diagram.store.delta = function (message) {
    watch.deltas.push(performance.now());
    return delta.call(this, message);
  };

  const { draw } = diagram;
  diagram.draw = function () {
    const began = performance.now();
    draw.call(this);
    watch.drawings.push(began);
    watch.drawing_ms.push(performance.now() - began);
    if (!this.store.live && watch.done_ms === null) watch.done_ms = performance.now();
  };

  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) watch.task_ms.push(task.duration);
  }).observe({ type: "longtask" });

  let last = performance.now();
  const frame = () => {
    const now = performance.now();
    watch.frame_ms.push(now - last);
    last = now;
    if (watch.done_ms === null) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);

  // From the input of the click to the frame after it that could show its effect.
  addEventListener("pointerdown", (event) => {
    requestAnimationFrame(() => setTimeout(() => watch.click_ms.push(performance.now() - event.timeStamp)));
  }, { capture: true });

  window.watch = watch;
})();
