"""Sessions, layers and images of a notebook that has run, as the panel gets them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.lab.conftest import CELLS, HOSTILE, install_kernel

from cellstack_runtime.store import Store

if TYPE_CHECKING:
    from tests.lab.conftest import Api


async def test_info_says_where_and_what(api: Api, store: Path) -> None:
    info = await api.ask("GET info")
    assert info["home"] == str(store)
    assert info["root"] == (os.geteuid() == 0)
    assert info["disk_bytes"] > 100_000
    assert (
        info["pressure"]
        in {"v2": ("container", None), "v1": ("machine", None), None: ("machine", None)}[info["cgroup"]]
    )


async def test_a_session_that_ended_is_listed(api: Api, notebook: str) -> None:
    found = {one["id"]: one for one in (await api.ask("GET sessions"))["sessions"]}
    assert (found[notebook]["live"], found[notebook]["cells"], found[notebook]["kernel_id"]) == (False, 3, None)
    assert found[notebook]["notebook"] is None  # it is not in the server's folder


async def test_layers_tell_what_their_cells_have_done(api: Api, notebook: str) -> None:
    answer = await api.ask("GET sessions/<id>/layers", notebook)
    layers = answer["layers"]
    assert [layer["code"] for layer in layers] == list(CELLS)
    assert [layer["number"] for layer in layers] == [1, 2, 3]
    assert [layer["parent"] for layer in layers] == [None, layers[0]["id"], layers[1]["id"]]
    assert {layer["image"] for layer in layers} == {answer["image"]["id"]}
    assert all(layer["on_path"] and layer["status"] == "ok" and layer["cache"] == "off" for layer in layers)
    assert all(layer["memory_peak_bytes"] > 1 << 20 and layer["wall_seconds"] > 0 for layer in layers)
    assert layers[2]["tags"] == ["lab/tagged:v1"]
    assert answer["head"] == layers[2]["id"]
    assert notebook in answer["image"]["in_use_by"]


async def _ids(api: Api, notebook: str) -> list[str]:
    return [layer["id"] for layer in (await api.ask("GET sessions/<id>/layers", notebook))["layers"]]


async def test_a_layer_has_its_files_and_variables(api: Api, notebook: str) -> None:
    first, _, last = await _ids(api, notebook)
    layer = await api.ask("GET layers/<id>", first, session=notebook)
    name = f"/root/{HOSTILE.replace('/', '')}"
    assert {"path": name, "kind": "added", "size": 100, "type": "file"} in layer["files"]
    variables = {one["name"]: one for one in layer["variables"]}
    assert (variables["a"]["type"], variables["a"]["shared_with"], variables["a"]["cell"]) == ("list", ["b"], 1)
    assert variables["lost"]["not_carried"] == "generator"
    kinds = {one["path"]: one["kind"] for one in (await api.ask("GET layers/<id>", last))["files"]}
    assert (kinds["/root/text"], kinds["/root/binary"]) == ("changed", "deleted")


async def test_two_layers_are_compared(api: Api, notebook: str) -> None:
    first, second, last = await _ids(api, notebook)
    diff = await api.ask("GET layers/<id>/diff", last, session=notebook, **{"from": second})
    assert {one["path"]: one["kind"] for one in diff["files"] if one["type"] == "file"} == {
        "/root/binary": "deleted",
        "/root/café": "added",
        "/root/text": "changed",
    }
    assert {one["name"]: one["kind"] for one in diff["variables"]} == {"c": "added"}
    whole = await api.ask("GET layers/<id>/diff", first, session=notebook, **{"from": "image"})
    assert {"a", "b"} <= {one["name"] for one in whole["variables"]}


async def test_a_file_is_shown_as_it_is_and_was(api: Api, notebook: str) -> None:
    first, second, last = await _ids(api, notebook)
    text = await api.ask("GET layers/<id>/file", last, path="/root/text")
    assert (text["text"], text["before"], text["binary"]) == ("after\n", "before\n", False)
    gone = await api.ask("GET layers/<id>/file", last, path="/root/binary", **{"from": second})
    assert (gone["text"], gone["before"], gone["binary"], gone["size"]) == (None, None, True, None)
    new = await api.ask("GET layers/<id>/file", second, path="/root/text", **{"from": first})
    assert (new["text"], new["before"], new["size"]) == ("before\n", None, 7)


async def test_a_file_is_brought_out_as_it_is(api: Api, notebook: str) -> None:
    last = (await _ids(api, notebook))[2]
    answer = await api.fetch("cellstack/api/layers", last, "download", params={"path": "/root/café"})
    assert answer.body == "é".encode()
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''caf%C3%A9"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("route", ["file", "download"])
async def test_links_out_of_a_layer_lead_nowhere_on_the_host(api: Api, notebook: str, route: str) -> None:
    last = (await _ids(api, notebook))[2]
    code, said = await api.refused(f"layers/{last}/{route}", params={"path": "/root/link"})
    assert (code, "is a symbolic link" in said) == (400, True)
    # The image's /etc has no such file; the host's has.
    assert os.path.exists("/etc/hostname")
    for path in ("/root/etc/hostname", "/root/../../../etc/hostname", "/../etc/hostname"):
        assert (await api.refused(f"layers/{last}/{route}", params={"path": path}))[0] == 404


HOSTILE_IDS = ["..", "%2e%2e", "0" * 11, "0" * 33, "A" * 12, "é" * 12, "*", " ", "'; drop", "0" * 5000, "\x00"]


@pytest.mark.parametrize("name", HOSTILE_IDS)
async def test_what_is_no_id_is_not_found(api: Api, name: str) -> None:
    for place in (f"sessions/{name}/layers", f"layers/{name}", f"images/{name}", f"containers/{name}"):
        assert (await api.refused(place))[0] in (400, 404)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"path": "relative"},
        {"path": "/" + "a" * 5000},
        {"path": "/a", "session": "../.."},
        {"path": "/a", "from": "HEAD"},
    ],
)
async def test_arguments_that_are_none_are_refused(api: Api, notebook: str, params: dict[str, str]) -> None:
    last = (await _ids(api, notebook))[2]
    assert (await api.refused(f"layers/{last}/file", params=params))[0] == 400


async def test_names_that_nobody_has_are_not_found(api: Api) -> None:
    places = [f"sessions/{'0' * 12}/layers", f"layers/{'0' * 32}", f"images/{'0' * 64}", f"containers/{'0' * 12}"]
    for place in places:
        assert (await api.refused(place))[0] == 404


async def test_images_are_listed_with_their_history(api: Api, notebook: str) -> None:
    images = (await api.ask("GET images"))["images"]
    tagged = next(one for one in images if "lab/tagged:v1" in one["tags"])
    base = next(one for one in images if notebook in one["in_use_by"])
    assert tagged["shared_layers"][base["id"]] == len(base["layers"])
    history = (await api.ask("GET images/<id>", tagged["id"]))["history"]
    assert [step["layer"] for step in history] == list(reversed(tagged["layers"]))
    assert history[0]["created_by"] == CELLS[2]
    assert history[-1]["created_by"].startswith("Python 3.")


async def test_an_image_in_use_is_kept_and_one_that_is_not_goes(api: Api, notebook: str, store: Path) -> None:
    images = (await api.ask("GET images"))["images"]
    used = next(one for one in images if notebook in one["in_use_by"])
    code, said = await api.refused(f"images/{used['id']}", method="DELETE")
    assert (code, "is in use by" in said) == (409, True)
    spare = Store.open(str(store)).put_image(used["layers"][:1], {"Cmd": ["spare"]}, "2026-01-01T00:00:00.000000Z")
    await api.ask("DELETE images/<id>", spare.id)
    assert (await api.refused(f"images/{spare.id}"))[0] == 404
    assert (await api.refused(f"images/{spare.id}", method="DELETE"))[0] == 404


async def test_a_notebook_in_the_servers_folder_has_its_kernel(
    jp_fetch: Any, jp_root_dir: Path, jp_kernel_dir: Path, jp_create_notebook: Any, connect: Any
) -> None:
    install_kernel(jp_kernel_dir)
    (jp_root_dir / "folder").mkdir()
    jp_create_notebook("folder/mine.ipynb")
    socket = await connect()
    await socket.subscribe(sessions="all")
    wanted = {"path": "folder/mine.ipynb", "type": "notebook", "name": "mine.ipynb", "kernel": {"name": "cellstack"}}
    started = await jp_fetch("api/sessions", method="POST", body=json.dumps(wanted))
    event = await socket.until(lambda one: one["type"] == "session" and one["session"]["live"])
    session = event["session"]
    assert session["notebook"] == "folder/mine.ipynb"
    assert (session["kernel_id"], session["live"]) == (json.loads(started.body)["kernel"]["id"], True)
    await jp_fetch("api/kernels", session["kernel_id"], method="DELETE")
    gone = await socket.until(lambda one: one["type"] == "session" and not one["session"]["live"])
    assert gone["session"]["id"] == session["id"]


async def test_a_notebook_below_a_link_in_the_servers_folder_is_known(
    api: Api, own: Store, jp_root_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (jp_root_dir / "link").symlink_to(tmp_path / "elsewhere")
    for path in (jp_root_dir / "link" / "a.ipynb", jp_root_dir / "b.ipynb", tmp_path / "elsewhere" / "c.ipynb"):
        own.create_session(str(path), "0" * 64).release()
    sessions = (await api.ask("GET sessions"))["sessions"]
    assert {one["notebook"] for one in sessions} == {"link/a.ipynb", "b.ipynb", None}


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b"\0"])
async def test_damaged_records_of_the_store_keep_nobody_from_the_others(api: Api, own: Store, text: bytes) -> None:
    image = own.put_image([], {}, "2026-01-01T00:00:00.000000Z")
    sessions = [own.create_session(None, image.id) for _ in range(2)]
    for session in sessions:
        session.release()
    for tag in ("good:1", "bad:1"):
        own.tag(image.id, tag)
    for name in (f"sessions/{sessions[0].id}/session.json", "tags/bad/1"):
        Path(own.home, name).write_bytes(text)
    assert [one["id"] for one in (await api.ask("GET sessions"))["sessions"]] == [sessions[1].id]
    assert [one["tags"] for one in (await api.ask("GET images"))["images"]] == [["good:1"]]
    code, said = await api.refused(f"sessions/{sessions[0].id}/layers")
    assert (code, "is corrupt" in said) == (500, True)


async def test_what_a_route_does_not_know_behind_its_question_mark_is_left_alone(api: Api, notebook: str) -> None:
    """JupyterLab adds the time of day, to be sent no cached answer."""
    layer = (await api.ask("GET sessions/<id>/layers", notebook))["layers"][0]["id"]
    plain = await api.ask("GET layers/<id>", layer)
    assert await api.ask("GET layers/<id>", layer, **{"1732600000000": ""}) == plain
    differs = await api.ask("GET layers/<id>/diff", layer, **{"from": "image", "1732600000000": ""})
    assert differs == await api.ask("GET layers/<id>/diff", layer, **{"from": "image"})
    assert (await api.refused(f"layers/{layer}", params={"session": "x"}))[0] == 400
    assert (await api.refused(f"layers/{layer}/diff", params={"1732600000000": ""}))[0] == 400
