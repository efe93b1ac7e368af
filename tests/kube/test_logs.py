"""A log is read back with a real runtime's quirks."""

from __future__ import annotations

import asyncio

from tests.kube.logs import PIECE, ContainerLog, Options


def fed(*writes: tuple[str, bytes]) -> ContainerLog:
    """Return a log into which this was written."""

    async def feed() -> ContainerLog:
        log = ContainerLog()
        for stream, data in writes:
            log.feed(stream, data)
        for stream in ("stdout", "stderr"):
            log.feed(stream, b"")
        log.close()
        return log

    return asyncio.run(feed())


def test_lines_are_whole_however_they_arrive() -> None:
    log = fed(("stdout", b"one\ntw"), ("stderr", b"err\n"), ("stdout", b"o\n"))
    assert log.read(Options()) == b"one\nerr\ntwo\n"


def test_what_has_no_end_of_line_is_kept_without_one() -> None:
    assert fed(("stdout", b"one\ntwo")).read(Options()) == b"one\ntwo"


def test_a_long_line_is_joined_again() -> None:
    line = b"x" * (3 * PIECE + 5)
    assert fed(("stdout", line[: PIECE + 9]), ("stdout", line[PIECE + 9 :] + b"\n")).read(Options()) == line + b"\n"


def test_a_long_line_is_corrupted_by_the_other_stream() -> None:
    log = fed(("stdout", b"x" * (PIECE + 1)), ("stderr", b"warning\n"), ("stdout", b"y\n"))
    assert log.read(Options()) == b"x" * PIECE + b"warning\n" + b"xy\n"


def test_the_tail_counts_pieces_of_lines() -> None:
    log = fed(("stdout", b"a\n" + b"x" * (2 * PIECE + 5) + b"\n"))
    assert log.read(Options(tail=1)) == b"xxxxx\n"
    assert len(log.read(Options(tail=2))) == PIECE + 6
    assert log.read(Options(tail=0)) == b""


def test_timestamps_stand_before_lines_and_not_before_their_pieces() -> None:
    log = fed(("stdout", b"x" * (PIECE + 5) + b"\n"))
    stamp, _, rest = log.read(Options(timestamps=True)).partition(b" ")
    assert stamp.endswith(b"Z")
    assert rest == b"x" * (PIECE + 5) + b"\n"


def test_what_was_written_before_is_left_out() -> None:
    log = fed(("stdout", b"old\n"), ("stdout", b"new\n"))
    assert log.read(Options(since=log.entries[1].time / 1e9)) in (b"new\n", b"old\nnew\n")
    assert log.read(Options(since=log.entries[1].time / 1e9 + 1)) == b""


def test_following_gives_what_comes_and_survives_rotation() -> None:
    async def follow() -> bytes:
        log = ContainerLog(rotate_at=100)
        log.feed("stdout", b"first\n")

        async def read() -> bytes:
            return b"".join([text async for text in log.follow(Options())])

        reading = asyncio.create_task(read())
        for number in range(10):
            await asyncio.sleep(0)
            log.feed("stdout", b"line %d\n" % number)
        await asyncio.sleep(0)
        log.close()
        assert log.rotations > 1
        return await reading

    text = asyncio.run(follow())
    assert text.startswith(b"first\n")
    assert text.endswith(b"line 9\n")
