"""Lines gathered in the event loop reach the writer soon, in order, and all of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.telemetry.line_batch import LINGER, MOST, LineBatch
from gateway.telemetry.log_writer import LogWriter


class Counted(LogWriter):
    """Counts how often it is asked."""

    blocks = 0

    def write(self, line: bytes) -> None:
        self.blocks += 1
        super().write(line)


def test_lines_are_handed_over_together_and_soon(tmp_path: Path) -> None:
    async def main() -> None:
        for number in range(5):
            batch.write(b"%d\n" % number)
        assert writer.blocks == 0
        await asyncio.sleep(2 * LINGER)
        assert writer.blocks == 1
        batch.write(b"5\n")
        await asyncio.sleep(2 * LINGER)

    async def made() -> LineBatch:
        return LineBatch(writer)

    writer = Counted(str(tmp_path / "log"))
    with asyncio.Runner() as runner:
        batch = runner.run(made())
        runner.run(main())
    writer.close()
    assert (tmp_path / "log").read_bytes() == b"0\n1\n2\n3\n4\n5\n"
    assert writer.dropped == 0


def test_a_burst_does_not_wait(tmp_path: Path) -> None:
    async def main() -> int:
        batch = LineBatch(writer)
        for _ in range(MOST):
            batch.write(b"x\n")
        return writer.blocks

    writer = Counted(str(tmp_path / "log"))
    assert asyncio.run(main()) == 1
    writer.close()
    assert (tmp_path / "log").read_bytes() == b"x\n" * MOST


def test_what_a_closed_writer_gets_is_counted_line_by_line(tmp_path: Path) -> None:
    async def main() -> None:
        batch = LineBatch(writer)
        batch.write(b"a\n")
        batch.write(b"b\n")
        writer.close()
        batch.flush()

    writer = Counted(str(tmp_path / "log"))
    asyncio.run(main())
    assert writer.dropped == 2


def test_a_pipe_gets_line_by_line() -> None:
    async def main() -> int:
        batch = LineBatch(writer)
        for _ in range(3):
            batch.write(b"x\n")
        batch.flush()
        return writer.blocks

    writer = Counted("/dev/null")  # no regular file, as a pipe
    assert asyncio.run(main()) == 3
    writer.close()
