"""The table of all cases, in the order in which they are done."""

from typing import Final

from benchmarks.faults import enemies, full_logs, lives
from benchmarks.faults.finding import Case

CASES: Final = (
    Case("client killed", "its requests and provider connections end, and nothing of it is left", lives.clients_killed),
    Case(
        "daemon killed",
        "what had been sent is delivered, then a clear error; the next daemon takes over the path",
        lives.daemon_killed,
    ),
    Case(
        "reader stands still",
        "the provider stands still too, memory is bounded, and the answer goes on whole",
        lives.reader_stalled,
    ),
    Case("ring full", "what waits is bounded, control goes on, and the streams come whole", lives.ring_full),
    Case("torn frames", "half a frame is never acted on, and holds nobody up", enemies.torn_frames),
    Case("flipped bits", "every one is found, named, and ends that connection alone", enemies.flipped_bits),
    Case("flipped bits, signed", "the same, the signature among them", enemies.flipped_bits_signed),
    Case(
        "hostile ring indices",
        "a wild position gives up that client with RingCorrupt; a wild flag harms nobody",
        enemies.hostile_ring,
    ),
    Case("connections opened and dropped", "each is let go of, and others are served meanwhile", enemies.churn),
    Case(
        "handshakes that never end",
        "so many are kept, the others refused, all closed after 5 s; running clients do not notice",
        enemies.handshakes_without_end,
    ),
    Case("log on a full disk", "the daemon goes on as fast as before", full_logs.disk_full),
    Case("log into a pipe nobody reads", "the daemon goes on as fast as before", full_logs.pipe_unread),
)
