"""`make sanitize` proves something: a race, a use after free, a program that fails or never ends are each reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from workshop import machine, steps
from workshop.parts import Trouble

FINE = "int main(void) { return 0; }"
FREED = "#include <stdlib.h>\nint main(void) { char *volatile p = malloc(9); free(p); return p[2]; }"
SHIFT = "int main(int n, char **v) { (void)v; return (n << (n + 31)) * 0; }"
LOCKED = """
#include <pthread.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long shared;
static void *add(void *unused) {
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        shared++;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}
int main(void) {
    pthread_t other;
    pthread_create(&other, 0, add, 0);
    add(0);
    pthread_join(other, 0);
    return shared != 2000;
}
"""

pytestmark = pytest.mark.skipif(
    bool(machine.missing(machine.sanitizers())),
    reason=f"gcc's sanitizers are not installed: {machine.cure(list(machine.sanitizers()))}",
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(steps, "BUILT", tmp_path / "built")
    return tmp_path


def program(place: Path, name: str, text: str) -> Path:
    source = place / f"{name}.c"
    source.write_text(text)
    return source


def prove(place: Path, name: str, text: str) -> None:
    steps.prove(program(place, name, text))


def threads_run(place: Path) -> bool:
    """Some containers let ThreadSanitizer have no shadow memory, nor setarch change that."""
    try:
        prove(place, "fine_threads", FINE)
    except Trouble as trouble:
        return steps.PLACELESS not in str(trouble) and "setarch" not in str(trouble)
    return True


def test_a_race_is_reported_and_a_lock_is_not(place: Path) -> None:
    if not threads_run(place):
        pytest.skip("ThreadSanitizer finds no place for its shadow memory here, even under setarch -R")
    steps.race_is_seen()
    with pytest.raises(Trouble, match=r"(?s)data race.*racy_threads\.c ended with 66"):
        prove(place, "racy_threads", steps.RACE.read_text())
    prove(place, "locked_threads", LOCKED)


def test_a_detector_that_sees_nothing_is_a_failure(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "RACE", program(place, "race", FINE))
    with pytest.raises(Trouble, match="its silence proves nothing"):
        steps.race_is_seen()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FREED, "heap-use-after-free"),
        (SHIFT, "shift exponent 32"),
        ("int main(void) { return 3; }", "ended with 3"),
    ],
    ids=["address", "undefined", "status"],
)
def test_what_a_program_reports_is_told(place: Path, text: str, said: str) -> None:
    with pytest.raises(Trouble, match=said):
        prove(place, "crash", text)


def test_a_program_that_does_not_compile_is_quoted(place: Path) -> None:
    with pytest.raises(Trouble, match=r"(?s)error: .*typo\.c does not compile with -fsanitize=address,undefined"):
        prove(place, "typo", "int main(void) { return nothing; }")


def test_a_program_that_never_ends_is_ended_with_what_it_said(place: Path) -> None:
    text = '#include <stdio.h>\nint main(void) { puts("step 7"); fflush(stdout); for (;;) ; }'
    built = steps.build(program(place, "spin", text), "undefined")
    with pytest.raises(Trouble, match=r"(?s)step 7.*did not end within 1 s"):
        steps.run(built, ceiling=1)


def test_where_the_shadow_memory_has_no_place_addresses_are_fixed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = place / "program"
    fixed = "grep -q '^.*4....$' /proc/self/personality && exit 0"
    script.write_text(f'#!/bin/sh\n{fixed}\necho "FATAL: {steps.PLACELESS}"; exit 66\n')
    script.chmod(0o755)
    done = steps.run(script)
    assert "under setarch -R" in capsys.readouterr().out
    if "failed to set personality" in done.stdout:
        pytest.skip("this container does not let setarch change the personality")
    assert done.returncode == 0, done.stdout


def test_each_program_is_a_part_dealt_out_to_the_lanes(place: Path) -> None:
    for name in ("a_threads", "b_crash", "c_interleave"):
        program(place, name, FINE)
    (place / "steps.h").write_text("")
    named = [[part.name for part in lane] for lane in steps.lanes(place, 2)]
    assert named == [
        ["steps race (thread, must be reported)", "steps b_crash (address,undefined)"],
        ["steps a_threads (thread)", "steps c_interleave (address,undefined)"],
    ]
    assert steps.lanes(place / "nowhere") == []
