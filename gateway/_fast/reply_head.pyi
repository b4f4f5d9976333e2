from collections.abc import Mapping
from typing import Self, final

@final
class ReplyHeads:
    def __new__(cls, *, server: str) -> Self: ...
    def head(
        self,
        status: int,
        headers: Mapping[str, str],
        *,
        minor: int = 1,
        ending: int = 0,
        chunked: bool = False,
        length: int = -1,
        body: bytes = b"",
    ) -> bytes: ...
