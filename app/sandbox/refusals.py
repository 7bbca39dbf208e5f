"""What the sandbox refuses, with the vendor's error codes."""

from graphql import GraphQLError

MESSAGES = {
    1000: "Invalid API key",
    1001: "No valid authentication",
    1002: "Invalid date range",
    1003: "Only one interval is allowed",
    1004: "Invalid parameters",
    1005: "Invalid parameter",
    1006: "Not an integer",
    1007: "Bad SDK version, expected 0.0.0",
    1008: "No valid project ID",
    1009: "Invalid parameter",
    1010: "One value only",
    1011: "Invalid token",
    1012: "Internal server error",
    1013: "Mandatory parameter missing",
    1014: "This query requires the Advanced Insights add-on",
    1015: "Project not found",
    1016: "Session expired",
    1017: "Session not found",
    1018: "No session ID given",
    1019: "The token does not match the API key",
    1020: "The token cannot be validated",
    1021: "Not authorised for this project",
    1022: "Type error",
}


class Refusal(GraphQLError):
    """Upstream's answer to a query, or a part of one, that it does not serve: one of its numbered errors."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{MESSAGES[code]}: {detail}" if detail else MESSAGES[code], extensions={"errorCode": code})
        self.code = code
