"""What a person does in a notebook: complete, ask for help, answer a cell, interrupt one, reload the page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.browser.conftest import Lab

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

HOSTILE = '<img src=x onerror="window.pwned=1">'
KETTLE = """class Kettle:
    '''Boils water.'''
    def boil_water(self, minutes: int = 3) -> str:
        '''Heat the water until it boils.'''
        open('boiled.txt', 'w').write('x')
        return 'hot'
    def boil_egg(self): ...
kettle = Kettle()"""
ODD = f"""class Odd:
    '''{HOSTILE}'''
    def __dir__(self):
        return ['odd_{HOSTILE}', 'odd_plain']
odd = Odd()
print({HOSTILE!r})
raise type({HOSTILE!r}, (Exception,), {{}})({HOSTILE!r})"""


def test_attributes_of_a_carried_variable_are_completed(lab: Lab, tmp_path: Path) -> None:
    lab.write("complete.ipynb", KETTLE, "", "kettle")
    lab.open("complete.ipynb")
    lab.run(0)
    popup = lab.completions(1, "kettle.boi")
    expect(popup).to_contain_text("boil_egg")
    expect(popup).to_contain_text("boil_water")
    lab.page.screenshot(path=tmp_path / "completions.png")
    popup.get_by_text("boil_water").click()
    expect(lab.editor(1)).to_have_text("kettle.boil_water")
    lab.run(2)
    assert not (lab.server.folder / "boiled.txt").exists()


def test_the_tooltip_has_signature_and_docstring(lab: Lab, tmp_path: Path) -> None:
    lab.write("tooltip.ipynb", KETTLE, "")
    lab.open("tooltip.ipynb")
    lab.run(0)
    lab.type(1, "kettle.boil_water(")
    lab.page.keyboard.press("Shift+Tab")
    tooltip = lab.page.locator(".jp-Tooltip")
    expect(tooltip).to_contain_text("Heat the water until it boils.")
    expect(tooltip).to_contain_text("minutes: int = 3")
    lab.page.screenshot(path=tmp_path / "tooltip.png")


def test_questions_of_a_cell_are_answered_in_the_notebook(lab: Lab, tmp_path: Path) -> None:
    lab.write(
        "input.ipynb",
        "name = input('What is your name? ')\nprint('Hello', name)",
        "import getpass\nword = getpass.getpass('Word: ')\nprint(len(word), 'characters')",
    )
    lab.open("input.ipynb")
    lab.start(0)
    box = lab.cell(0).locator(".jp-Stdin-input")
    expect(lab.cell(0).locator(".jp-Stdin-prompt")).to_contain_text("What is your name?")
    box.fill("Ada")
    lab.page.screenshot(path=tmp_path / "input.png")
    box.press("Enter")
    expect(lab.cell(0).locator(".jp-OutputArea")).to_contain_text("What is your name? Ada")
    expect(lab.cell(0).locator(".jp-OutputArea")).to_contain_text("Hello Ada")

    lab.start(1)
    box = lab.cell(1).locator(".jp-Stdin-input")
    expect(box).to_have_attribute("type", "password")
    box.fill("sesame")
    lab.page.screenshot(path=tmp_path / "password.png")
    box.press("Enter")
    expect(lab.cell(1).locator(".jp-OutputArea")).to_contain_text("6 characters")
    expect(lab.cell(1)).not_to_contain_text("sesame")


def test_the_interrupt_button_ends_a_running_cell(lab: Lab, tmp_path: Path) -> None:
    lab.write("interrupt.ipynb", "kept = 5", "import time\nprint('begun')\ntime.sleep(600)", "kept")
    lab.open("interrupt.ipynb")
    lab.run(0)
    lab.start(1)
    expect(lab.cell(1).locator(".jp-OutputArea")).to_contain_text("begun")
    lab.interrupt()
    expect(lab.cell(1).locator(".jp-OutputArea")).to_contain_text("KeyboardInterrupt")
    expect(lab.line(1)).to_contain_text("interrupted")
    lab.page.screenshot(path=tmp_path / "interrupted.png")
    lab.run(2)
    expect(lab.outputs(2)).to_have_text("5")


def test_hostile_names_are_text_in_outputs_completions_and_tooltips(lab: Lab, tmp_path: Path) -> None:
    lab.write("odd.ipynb", ODD, f"input({HOSTILE!r})", "", "%%html\n<b class='bold'>markup</b>")
    lab.open("odd.ipynb")
    lab.run(0)
    expect(lab.cell(0).locator(".jp-OutputArea")).to_contain_text(f"{HOSTILE}: {HOSTILE}")
    lab.start(1)
    expect(lab.cell(1).locator(".jp-Stdin-prompt")).to_have_text(HOSTILE)
    lab.cell(1).locator(".jp-Stdin-input").press("Enter")
    expect(lab.cell(1).locator(".jp-Stdin-input")).to_have_count(0)  # it takes the focus as it goes, some time later
    expect(lab.completions(2, "odd.odd")).to_contain_text("odd_plain")
    lab.page.screenshot(path=tmp_path / "completions.png")
    lab.page.keyboard.press("Escape")
    lab.type(2, "odd")
    lab.page.keyboard.press("Shift+Tab")
    expect(lab.page.locator(".jp-Tooltip")).to_contain_text(HOSTILE)
    lab.run(3)
    expect(lab.cell(3).locator("b.bold")).to_have_text("markup")  # which a person has asked for
    lab.page.screenshot(path=tmp_path / "odd.png")
    assert lab.page.locator('img[src="x"]').count() == 0
    assert lab.page.evaluate("window.pwned") is None


LONG = """import itertools, time
try:
    for i in itertools.count():
        print('line', i, flush=True)
        time.sleep(0.3)
except KeyboardInterrupt:
    display(i)"""


def test_a_reload_loses_no_output_of_a_running_cell(lab: Lab, tmp_path: Path) -> None:
    lab.write("away.ipynb", "x = 1", LONG, "print('after', x)")
    lab.open("away.ipynb")
    lab.run(0)
    lab.start(1)
    lab.start(2)  # waits for its turn, in a page that will be gone
    expect(lab.outputs(1)).to_contain_text("line 1\n")
    lab.reload("busy")
    expect(lab.cell(1).locator(".jp-InputPrompt")).to_have_text("[*]:")
    expect(lab.line(1)).to_have_class(re.compile("cs-mod-running"))
    expect(lab.line(0)).to_contain_text("ok")  # which nobody had saved
    expect(lab.outputs(1)).to_contain_text("line 0\n")
    lines = (lab.outputs(1).text_content() or "").count("line")
    expect(lab.outputs(1)).to_contain_text(f"line {lines + 1}\n")
    lab.page.screenshot(path=tmp_path / "running.png")
    lab.interrupt()
    expect(lab.cell(1).locator(".jp-InputPrompt")).to_have_text("[2]:")
    expect(lab.line(1)).to_contain_text("brought up to date")
    last = int(lab.outputs(1).last.text_content() or "")
    assert (lab.outputs(1).first.text_content() or "").split("\n") == [*(f"line {i}" for i in range(last + 1)), ""]
    expect(lab.outputs(2)).to_have_text("after 1\n")
    lab.page.screenshot(path=tmp_path / "ended.png")
    lab.run(2)
    expect(lab.line(2)).not_to_contain_text("brought up to date")
    expect(lab.outputs(2)).to_have_text("after 1\n")


def test_a_question_is_asked_again_after_a_reload(lab: Lab, tmp_path: Path) -> None:
    lab.write("asked.ipynb", "print('before')\nname = input('What is your name? ')\nprint('Hello', name)", "name")
    lab.open("asked.ipynb")
    lab.start(0)
    expect(lab.cell(0).locator(".jp-Stdin-prompt")).to_contain_text("What is your name?")
    lab.reload("busy")
    box = lab.cell(0).locator(".jp-Stdin-input")
    expect(lab.cell(0).locator(".jp-OutputArea")).to_contain_text("before")
    expect(lab.cell(0).locator(".jp-Stdin-prompt")).to_contain_text("What is your name?")
    lab.page.screenshot(path=tmp_path / "asked.png")
    box.fill("Ada")
    box.press("Enter")
    expect(lab.cell(0).locator(".jp-OutputArea")).to_contain_text("Hello Ada")
    expect(lab.line(0)).to_contain_text("ok")
    expect(box).to_have_count(0)
    lab.run(1)
    expect(lab.outputs(1)).to_have_text("'Ada'")


def test_a_notebook_that_was_closed_is_brought_up_to_date_when_it_is_opened(lab: Lab) -> None:
    lab.write("closed.ipynb", "print('seen')", "print('one')\n1 / 0")
    lab.open("closed.ipynb")
    lab.run(0)
    lab.cell(0).click()
    lab.command("notebook:clear-cell-output")
    lab.save()
    lab.start(1)
    lab.page.goto("about:blank")
    lab.open("closed.ipynb")
    expect(lab.outputs(1).first).to_have_text("one\n")
    expect(lab.outputs(1).last).to_contain_text("ZeroDivisionError")
    expect(lab.line(1)).to_contain_text("brought up to date")
    expect(lab.outputs(0)).to_have_count(0)  # a person did not want it any more
    lab.save()
    lab.reload()
    expect(lab.line(1)).to_contain_text("error")
    assert not lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.model.dirty")


def test_a_lost_connection_loses_no_output(lab: Lab) -> None:
    lost = lab.can_lose_connection()
    lab.write("lost.ipynb", "x = 1", LONG)
    lab.open("lost.ipynb")
    lab.run(0)
    lab.start(1)
    expect(lab.outputs(1)).to_contain_text("line 1\n")
    lost.drops = True
    before = lost.dropped
    lab.page.wait_for_timeout(1500)  # of lines that come to nobody
    assert lost.dropped > before
    lost.end()
    expect(lab.outputs(1)).to_contain_text(f"line {lost.dropped + 2}\n")
    lab.interrupt()
    expect(lab.cell(1).locator(".jp-InputPrompt")).to_have_text("[2]:")
    expect(lab.line(1)).to_contain_text("ok")
    last = int(lab.outputs(1).last.text_content() or "")
    lines = [f"line {i}" for i in range(last + 1)]
    expect(lab.outputs(1).first).to_have_text("\n".join([*lines, ""]))


PROGRESS = """import time
for i in range(1000):
    print(f'{i} of 1000', end='\\r', flush=True)
    h.update(f'up to {i}')
    time.sleep(0.3)"""


def test_a_reload_shows_lines_that_are_written_over_and_displays_of_other_cells(lab: Lab) -> None:
    lab.write("progress.ipynb", "h = display('start', display_id='h')", PROGRESS, ids=False)
    lab.open("progress.ipynb")
    lab.run(0)
    lab.start(1)
    expect(lab.outputs(1)).to_contain_text("1 of 1000")
    lab.save()
    lab.reload("busy")
    line = re.compile(r"^(\d+) of 1000$")
    expect(lab.outputs(1)).to_have_text(line)
    expect(lab.outputs(1)).not_to_have_text(lab.outputs(1).text_content() or "")
    expect(lab.outputs(1)).to_have_text(line)
    lab.interrupt()
    expect(lab.line(1)).to_contain_text("brought up to date")
    expect(lab.outputs(1).first).to_have_text(line)
    last = int((lab.outputs(1).first.text_content() or "").split(" ")[0])
    expect(lab.outputs(0)).to_have_text(re.compile(f"^'up to ({last}|{last - 1})'$"))


ASKS = "import time; time.sleep(2); x = input('first? '); y = input('second? '); print(x, y)"


def test_a_question_that_a_lost_connection_has_dropped_is_asked(lab: Lab) -> None:
    lost = lab.can_lose_connection()
    lab.write("unheard.ipynb", ASKS)
    lab.open("unheard.ipynb")
    lab.start(0)
    expect(lab.cell(0).locator(".jp-InputPrompt")).to_have_text("[*]:")
    lost.drops = True
    lab.page.wait_for_timeout(4000)
    lost.end()
    prompt = lab.cell(0).locator(".jp-OutputArea-stdin-item:not(.jp-OutputArea-stdin-hiding) .jp-Stdin-prompt")
    box = lab.cell(0).locator(".jp-OutputArea-stdin-item:not(.jp-OutputArea-stdin-hiding) .jp-Stdin-input")
    for question, answer in (("first? ", "one"), ("second? ", "two")):
        expect(prompt).to_have_text(question)
        box.fill(answer)
        box.press("Enter")
    expect(lab.cell(0).locator(".jp-OutputArea")).to_contain_text("one two")
    expect(box).to_have_count(0)


def test_a_question_is_over_in_each_page_when_one_has_answered(lab: Lab) -> None:
    lab.write("two.ipynb", ASKS, "print('runs')")
    lab.open("two.ipynb")
    lab.start(0)
    other = type(lab)(lab.page.context.new_page(), lab.server)
    other.page.goto(f"{lab.server.url}/lab/workspaces/other/tree/two.ipynb?token={lab.server.token}")
    for question, answer, page in (("first? ", "one", other), ("second? ", "two", lab)):
        for each in (lab, other):
            shown = each.cell(0).locator(".jp-OutputArea-stdin-item:not(.jp-OutputArea-stdin-hiding)")
            expect(shown.locator(".jp-Stdin-prompt")).to_have_text(question)
        box = page.cell(0).locator(".jp-OutputArea-stdin-item:not(.jp-OutputArea-stdin-hiding) .jp-Stdin-input")
        box.fill(answer)
        box.press("Enter")
    for each in (lab, other):
        expect(each.cell(0).locator(".jp-OutputArea")).to_contain_text("one two")
        expect(each.cell(0).locator(".jp-Stdin-input")).to_have_count(0)
    lab.run(1)
    expect(lab.outputs(1)).to_have_text("runs\n")
