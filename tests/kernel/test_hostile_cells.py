"""A cell that writes to its own socket to the host: it ends with one line that is understood, and the next one runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.kernels import Running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]

MEANS = """
import cellstack, json, os, struct, time
def is_socket(fd):
    path = f"/proc/self/fd/{fd}"
    return os.path.lexists(path) and os.readlink(path).startswith("socket:")
FD = next(fd for fd in map(int, os.listdir("/proc/self/fd")) if is_socket(fd))
def raw(data):
    while data: data = data[os.write(FD, data):]
def text(text):
    raw(struct.pack("!IIQ", len(text), 0, 0) + text.encode("utf-8", "surrogatepass"))
def frame(kind, **fields): text(json.dumps({"type": kind, **fields}))
def reply(**fields):
    frame("reply", **{"content": {"status": "ok"}, "state": None, "carried": {}, "modules": [], "taken": [], **fields})
    time.sleep(60)
"""
NO_OUTPUT = "cell sent something that is no output"
WRONG = {
    "garbage": r"raw(b'\xff' * 100)",
    "a giant text": "raw(struct.pack('!IIQ', 2**32 - 1, 0, 0))",
    "too many buffers": "raw(struct.pack('!IIQ', 2, 2**31, 0))",
    "giant buffers": "raw(struct.pack('!IIQQ', 2, 1, 2**40, 2**40))",
    "buffers that do not add up": "raw(struct.pack('!IIQQ', 2, 1, 3, 2) + b'{}abc')",
    "no object": "text('[]')",
    "no type": "text('{}')",
    "deep JSON": "text('[' * 100000)",
    "JSON that is read and not written": "text('{\"type\":\"error\",\"x\":' + '[' * 600 + 'NaN' + ']' * 600 + '}')",
    "a number of 5000 digits": "text('{\"type\": \"notice\", \"text\": ' + '9' * 5000 + '}')",
    "no frame of a cell": "frame('execute', code='1')",
    "an answer to no question": "frame('answer', content={'status': 'ok'})",
    "a stream that is none": "frame('stream', name='stdin', text='')",
    "a display of what is no bundle": "frame('display_data', data=[1], metadata={})",
    "an endless display id": "frame('display_data', data={}, transient={'display_id': 'x' * 5000})",
    "a comm without an id": "frame('comm', msg_type='comm_open', content={})",
    "an endless target": "frame('comm', msg_type='comm_open', content={'comm_id': 'a', 'target_name': 'x' * 5000})",
    "a comm message that is none": "frame('comm', msg_type='shutdown_request', content={'comm_id': 'a'})",
    "a question that is no text": "frame('input_request', prompt={}, password=False)",
    "a reply without content": "reply(content=3)",
    "a reply with an odd status": "reply(content={'status': 'aborted'})",
    "a reply with another layer's state": "reply(state='a' * 32)",
    "a reply with a path for a state": "reply(state='../../../etc')",
    "a reply with odd names": "reply(carried={'saved': [1]})",
    "a reply with odd modules": "reply(modules=3)",
    "a reply with odd numbers": "reply(taken=['x'])",
}


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("hostile") / "n.ipynb")
    running.run("kept = 5")
    yield running
    running.close()


@pytest.mark.parametrize("what", WRONG)
def test_a_cell_that_sends_what_is_no_message_ends_with_one_line(living: Running, what: str) -> None:
    _, texts = living.run(f"{MEANS}{WRONG[what]}\ntime.sleep(60)")
    assert len(texts) == 1
    assert texts[0].startswith(NO_OUTPUT)
    assert "\n" not in texts[0]
    assert living.run("kept, 'FD' in globals()")[1] == ["(5, False)"]


def test_half_a_frame_is_nothing(living: Running) -> None:
    assert living.run(f"{MEANS}raw(struct.pack('!IIQ', 1000, 0, 0)); os._exit(3)")[1] == [
        "cell ended its own process with exit code 3. Files and variables are as they were before it"
    ]


def test_what_json_does_not_have_is_shown_without_it(living: Running) -> None:
    shown = (
        """{"type": "display_data", "data": {"text/plain": "a\\\\ud800b", "a/json": NaN}, "metadata": {"x": 1e999}}"""
    )
    assert living.run(f"{MEANS}text('''{shown}''')")[1] == ["a?b"]


def test_a_process_that_goes_on_writing_when_the_cell_is_dead_holds_nothing_up(living: Running) -> None:
    code = """
data = json.dumps({"type": "stream", "name": "stdout", "text": "x" * 10_000}).encode()
data = struct.pack("!IIQ", len(data), 0, 0) + data
if os.fork() == 0:
    while True: os.write(FD, data * 100)
time.sleep(0.3)
os._exit(3)
"""
    _, texts = living.run(MEANS + code)
    assert texts[-1] == "cell ended its own process with exit code 3. Files and variables are as they were before it"
    assert living.run("kept")[1] == ["5"]


def test_a_cell_that_closes_its_socket_can_be_interrupted(living: Running) -> None:
    request = living.client.execute(f"{MEANS}os.close(FD)\nos.write(1, b'closed\\n')\nwhile True: pass")
    while living.client.get_iopub_msg(timeout=60)["content"].get("text") != "closed\n":
        pass
    living.manager.interrupt_kernel()
    while living.client.get_shell_msg(timeout=60)["parent_header"]["msg_id"] != request:
        pass
    assert living.run("kept")[1] == ["5"]


def test_variables_that_a_cell_says_it_has_saved_and_has_not_are_left_by_undo(living: Running) -> None:
    living.run(f"{MEANS}reply(state=cellstack.layer)")
    assert living.run("kept")[1][0].endswith("%undo leaves it")
    living.run("%undo")
    assert living.run("kept")[1] == ["5"]


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{}", '{"version": 2}', "[" * 100_000, '{"version": 2, "keys": {"x": 9}}']
)
def test_a_hostile_manifest_is_left_by_undo(living: Running, manifest: str) -> None:
    living.run(f"{MEANS}open('/run/cellstack/out/manifest', 'w').write({manifest!r})\nreply(state=cellstack.layer)")
    assert living.run("kept")[1][0].endswith("%undo leaves it")
    assert "cannot be read" in "".join(living.run("%state")[1])
    living.run("%undo")
    assert living.run("kept")[1] == ["5"]


def test_a_cell_of_three_megabytes_runs(living: Running) -> None:
    """What the broker is told of a cell has a limit."""
    assert living.run(f"len('{'x' * 3_000_000}')")[1] == ["3000000"]
    assert living.run("kept")[1] == ["5"]
