// Starts aimock on a free port of the loopback, says its URL in a line, and ends when standard input does: with
// whoever started it, however that ended.
import { LLMock } from "@copilotkit/aimock";

const mock = new LLMock({ host: "127.0.0.1", port: 0, chunkSize: 8, logLevel: "silent" });
console.log(await mock.start());
process.stdin.on("end", () => process.exit(0)).resume();
