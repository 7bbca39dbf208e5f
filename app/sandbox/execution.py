"""GraphQL execution that copies plain figures, of which an answer has tens of thousands, instead of resolving each."""

from typing import Any

from graphql import GraphQLObjectType
from graphql.execution import Executor
from graphql.execution.collect_fields import GroupedFieldSet
from graphql.pyutils import Path

_PLAIN = (float, str, int, bool)


class RowExecutor(Executor[Any]):
    """Takes what a dictionary holds as a plain value as it is; all else goes the library's way.

    Our resources are dictionaries whose plain values are already what their field answers. Resolving each one by one made the
    answer for a day of 300 sessions take 1.7 times as long.
    """

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,
    ) -> Any:
        """The fields of one object, in the order asked for."""
        if type(source_value) is not dict:
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        results = {}
        for name, details in grouped_field_set.items():
            value = source_value.get(details[0].node.name.value)
            if type(value) not in _PLAIN:
                value = self.execute_field(
                    parent_type, source_value, details, Path(path, name, parent_type.name), position_context
                )
            results[name] = value
        return results
