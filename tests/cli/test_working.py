"""What a terminal shows of one sample under way: a line that is replaced, with a small picture above it."""

import re

import numpy as np
import pytest

from saliency_cli.cli.preview import preview
from saliency_cli.cli.terminal import Display, Terminal


@pytest.fixture
def terminal(monkeypatch, capsys):
    """A terminal that believes a person looks at it, and a function that gives what it wrote."""
    monkeypatch.setattr("saliency_cli.cli.progress.is_terminal", lambda _: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    made = Terminal(Display())
    yield made, lambda: capsys.readouterr().err
    made.close()


def test_a_line_takes_the_place_of_the_one_before(terminal):
    shown, told = terminal
    shown.planned(1)
    shown.working("class-3: step 16 of 256")
    assert told() == "class-3: step 16 of 256"
    shown.working("class-3: step 32 of 256")
    assert told() == "\r\x1b[Kclass-3: step 32 of 256"
    shown.warning("a word between")
    assert re.match(r"\r\x1b\[K.*warning:.* a word between\n$", told())
    shown.working("class-3: step 48 of 256")
    shown.close()
    assert told() == "class-3: step 48 of 256\r\x1b[K"


def test_the_picture_goes_with_its_line(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "40")
    shown, told = terminal
    shown.working("step 1", np.zeros((4, 4, 3), np.uint8))
    lines = told().split("\n")
    assert len(lines) == 17
    assert lines[-1] == "step 1"
    shown.working("step 2")
    assert told() == "\x1b[16A\r\x1b[Jstep 2"


def test_no_escape_of_a_name_reaches_the_terminal(terminal):
    shown, told = terminal
    shown.working("\x1b[2Jevil.png: step 1")
    assert "\x1b" not in told()


def test_nothing_is_shown_to_nobody(capsys):
    shown = Terminal(Display())
    shown.working("step 1", np.zeros((4, 4), np.uint8))
    shown.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("shape", [(64, 64, 3), (16, 16), (20, 100, 3)])
def test_two_pixels_a_cell(shape, monkeypatch):
    monkeypatch.setenv("COLORTERM", "truecolor")
    lines = preview(np.full(shape, 200, np.uint8))
    assert [line.count("▀") for line in lines] == [32] * max(1, round(16 * shape[0] / shape[1]))
    assert lines[0].startswith("\x1b[38;2;200;200;200;48;2;200;200;200m▀")
    assert all(line.endswith("\x1b[0m") for line in lines)


def test_the_upper_pixel_is_the_letter_and_the_lower_the_ground(monkeypatch):
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, :, 0], pixels[1, :, 2] = 255, 255
    monkeypatch.setenv("COLORTERM", "24bit")
    (line,) = preview(pixels, columns=2)
    assert line == "\x1b[38;2;255;0;0;48;2;0;0;255m▀" * 2 + "\x1b[0m"
    monkeypatch.delenv("COLORTERM")
    (line,) = preview(pixels, columns=2)
    assert line == "\x1b[38;5;196;48;5;21m▀" * 2 + "\x1b[0m"


def test_the_256_colours_are_the_nearest():
    steps = [0, 95, 135, 175, 215, 255]
    for value in range(256):
        shade = np.full((2, 2, 3), value, np.uint8)
        found = int(re.search(r"38;5;(\d+)", preview(shade, columns=2)[0])[1]) - 16
        assert abs(steps[found % 6] - value) == min(abs(step - value) for step in steps)
