from typing import final

@final
class EventJudge: ...
