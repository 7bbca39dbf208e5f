"""Collections: pages, cursors, and how many nodes a query asks for."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, SelectionSetNode, get_operation_ast, value_from_ast_untyped
from graphql.language import FragmentSpreadNode, InlineFragmentNode

from app.sandbox.refusals import Refusal

T = TypeVar("T")

MEETINGS = 10
MOST = 1000
DEFAULT = 50
COLLECTIONS = {
    "projectData": MOST,
    "sessionSummaries": MOST,
    "sessions": 50,
    "meetings": MEETINGS,
    "connections": MOST,
    "publishers": MOST,
    "subscribers": MOST,
    "streamStatsCollection": MOST,
}
"""The most that one page of each collection holds (guide; 50 sessions: a client's note). A larger `first` is clamped."""


def page_size(collection: str, first: object) -> int:
    """How many resources a page holds for what was asked as `first`; None is the default."""
    if first is None:
        return min(DEFAULT, COLLECTIONS[collection])
    if isinstance(first, bool) or not isinstance(first, int):
        raise Refusal(1006, f"first: {first!r}")
    if first < 1:
        raise Refusal(1005, f"first: {first}")
    return min(first, COLLECTIONS[collection])


def page(collection: str, items: Sequence[T], first: object, cursor: object, resource: Callable[[T], object]) -> dict[str, Any]:
    """One page of a collection; only its own items are made into resources.

    A cursor is the base64 of the collection's name and an offset, opaque to clients; "" is the first page.
    """
    size, offset = page_size(collection, first), _offset(collection, cursor)
    following = offset + size
    more = following < len(items)
    return {
        "pageInfo": {"hasNextPage": more, "endCursor": _cursor(collection, following) if more else None},
        "totalCount": len(items),
        "resources": [resource(item) for item in items[offset:following]],
    }


def _cursor(collection: str, offset: int) -> str:
    return b64encode(f"{collection}:{offset}".encode()).decode()


def _offset(collection: str, cursor: object) -> int:
    if not cursor:
        return 0
    try:
        name, _, offset = b64decode(str(cursor), validate=True).decode().partition(":")
        if name == collection and int(offset) > 0:
            return int(offset)
    except ValueError:
        pass
    raise Refusal(1005, "endCursor is no cursor of this collection")


@dataclass
class Asked:
    """What a query asks for: its operations as (project id, operation), each once, and its nodes, counted as asked for."""

    operations: set[tuple[str, str]] = field(default_factory=set)
    nodes: int = 0


def asked(document: DocumentNode, operation_name: str | None, given: Mapping[str, object]) -> Asked:
    """What a valid document asks for with the variables given.

    A collection's nodes are its page size (after clamping) times those of the collections around it; of `sessions` no more than
    the ids given. Raises Refusal for a page size that is none.
    """
    result = Asked()
    operation = get_operation_ast(document, operation_name)
    if operation is None:
        return result
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    variables = {
        definition.variable.name.value: value_from_ast_untyped(definition.default_value)
        for definition in operation.variable_definitions or ()
        if definition.default_value
    } | dict(given)

    def walk(selection: SelectionSetNode | None, around: int, project_id: str) -> None:
        for node in _fields(selection, fragments, set()):
            arguments = {a.name.value: value_from_ast_untyped(a.value, variables) for a in node.arguments or ()}
            name, count = node.name.value, around
            if name in COLLECTIONS:
                count *= page_size(name, arguments.get("first"))
                if name == "sessions" and isinstance(ids := arguments.get("sessionIds"), list):
                    count = min(count, around * len(ids))
                result.nodes += count
            if name in ("projectData", "sessionSummaries", "sessions"):
                result.operations.add((project_id, name))
            walk(node.selection_set, count, str(arguments["projectId"]) if "projectId" in arguments else project_id)

    walk(operation.selection_set, 1, "")
    return result


def _fields(
    selection: SelectionSetNode | None, fragments: Mapping[str, FragmentDefinitionNode], seen: set[str]
) -> Iterator[FieldNode]:
    """The fields of a selection, those of its fragments among them: each fragment once, or a query could explode."""
    for node in selection.selections if selection else ():
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(node.selection_set, fragments, seen)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            yield from _fields(fragments[node.name.value].selection_set, fragments, seen)
