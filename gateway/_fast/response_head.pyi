from typing import final

@final
class ResponseHead:
    @property
    def status(self) -> int: ...
    @property
    def until_close(self) -> bool: ...
