"""Trees of documents: Beautiful Soup's, and lxml's, which are in C.

An element is reduced to its place in the element that it is in, and the outermost one to all of the tree, so that
elements that are part of one tree still are, and depth and size of a tree do not matter.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from cellstack_guest.calls import Calls
from cellstack_guest.reducers import refuse
from cellstack_guest.settings import module

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINKS = ("parent", "next_element", "previous_element", "next_sibling", "previous_sibling", "contents")
# What only the parser needed, and refers to elements.
_PARSING = ("_most_recent_element", "currentTag", "tagStack", "string_container_stack", "preserve_whitespace_tag_stack")


def reduce_element(element: Any) -> Any:
    """Return the reduction of an element of Beautiful Soup's."""
    parent = element.parent
    if parent is not None:
        return (child_of, (parent, next(place for place, each in enumerate(parent.contents) if each is element)))
    return (make_tree, ([*_flat(element)],))


def child_of(parent: Any, place: int) -> Any:
    """Return an element by its place."""
    return parent.contents[place]


def _flat(root: Any) -> Iterator[tuple[Any, str | None, dict[str, Any], int]]:
    """Yield the elements of a tree in the order of the document: class, text, attributes, number of the parent."""
    pending, numbers = [root], dict[int, int]()
    while pending:
        element = pending.pop()
        numbers[id(element)] = len(numbers)
        attributes = {name: value for name, value in vars(element).items() if name not in (*_LINKS, *_PARSING)}
        builder = attributes.get("builder")
        if builder is not None and not builder.picklable:
            attributes["builder"] = type(builder)
        parent = -1 if element is root else numbers[id(element.parent)]
        yield type(element), str(element) if isinstance(element, str) else None, attributes, parent
        pending.extend(reversed(getattr(element, "contents", ())))


def make_tree(flat: list[tuple[Any, str | None, dict[str, Any], int]]) -> Any:
    """Return the outermost element of a tree."""
    elements: list[Any] = []
    for cls, text, attributes, parent in flat:
        element = cls.__new__(cls) if text is None else str.__new__(cls, text)
        vars(element).update(attributes, **dict.fromkeys(_LINKS[:-1]))
        if text is None:
            vars(element)["contents"] = []
        if parent >= 0:
            _append(elements[parent], element)
        if elements:
            vars(element)["previous_element"], vars(elements[-1])["next_element"] = elements[-1], element
        elements.append(element)
    root = elements[0]
    if "builder" in vars(root):
        _resume(root)
    return root


def _append(parent: Any, element: Any) -> None:
    contents = vars(parent)["contents"]
    if contents:
        vars(element)["previous_sibling"], vars(contents[-1])["next_sibling"] = contents[-1], element
    vars(element)["parent"] = parent
    contents.append(element)


def _resume(soup: Any) -> None:
    """Give a soup what its parser had when it was done."""
    if isinstance(soup.builder, type):
        soup.builder = soup.builder()
    soup.builder.soup = soup
    vars(soup).update(currentTag=soup, tagStack=[soup], string_container_stack=[], preserve_whitespace_tag_stack=[])


def reduce_node(node: Any) -> Any:
    """Return the reduction of an element of lxml's."""
    parent = node.getparent()
    if parent is not None:
        return (node_of, (parent, parent.index(node)))
    etree, html = module("lxml.etree"), type(node).__module__ == "lxml.html"
    if not html and type(node) is not etree._Element:  # noqa: SLF001
        return refuse(node)
    tree = node.getroottree()
    arguments = (etree.tostring(tree, encoding="utf-8"), tree.docinfo.URL, html, node.tail)
    try:
        make_nodes(*arguments)
    except etree.XMLSyntaxError:  # of names that only HTML has, "@click"
        return refuse(node)
    return (make_nodes, arguments)


def node_of(parent: Any, place: int) -> Any:
    """Return an element by its place."""
    return parent[place]


def make_nodes(data: bytes, url: str | None, html: bool, tail: str | None) -> Any:
    """Return the outermost element of a tree of lxml's."""
    etree = module("lxml.etree")
    parser = etree.XMLParser(encoding="utf-8", strip_cdata=False, resolve_entities=False, huge_tree=True)
    if html:
        parser.set_element_class_lookup(module("lxml.html").HtmlElementClassLookup())
    root = etree.fromstring(data, parser, base_url=url)
    root.tail = tail
    return root


def reduce_tree(tree: Any) -> Any:
    """Return the reduction of a document of lxml's: by its outermost element."""
    root = tree.getroot()
    return refuse(tree) if root is None else (tree_of, (root,))


def tree_of(root: Any) -> Any:
    """Return the document that an element is in."""
    return module("lxml.etree").ElementTree(root)


def reduce_functions(registry: Any) -> Any:
    """Return the reduction of functions for XPath."""
    uri = ast.literal_eval(repr(registry).partition("(")[2][:-1])  # FunctionNamespace('uri')
    return (functions_of, (uri,), dict(registry.items()), None, None, set_functions)


def functions_of(uri: str | None) -> Any:
    """Return the functions for XPath of a namespace."""
    return module("lxml.etree").FunctionNamespace(uri)


def set_functions(registry: Any, functions: dict[Any, Any]) -> None:
    """Register functions for XPath."""
    registry.update(functions)


CALLS = (
    Calls("namespaces", "lxml.etree", ("register_namespace",)),
    Calls("default parser", "lxml.etree", ("set_default_parser",)),
    Calls("functions", "lxml.etree", ("FunctionNamespace",)),
)
HANDLERS = {
    ("bs4.element", "PageElement"): reduce_element,
    ("lxml.etree", "_Element"): reduce_node,
    ("lxml.etree", "_ElementTree"): reduce_tree,
    ("lxml.etree", "_XPathFunctionNamespaceRegistry"): reduce_functions,
}
