"""Messages and services made from tables."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from navarch.wire.cri import fields, open_channel
from navarch.wire.rpc import Api, classes

MESSAGES = """
Inner   1 number int64
Ask     1 text string, 2 many Inner*, 3 map {string}, 4 by_name {Inner}, 5 yes bool
Answer  1 text string
Nothing
"""
API = Api("test.v1", MESSAGES, "Echo  Say Ask Answer, Count Ask Answer*\nOther  Say Ask Answer")


def test_fields_have_the_numbers_and_types_of_the_table() -> None:
    made = classes("test.v1", MESSAGES)
    message = made["Ask"](text="a", many=[{"number": 7}], map={"k": "v"}, yes=True)
    message.by_name["x"].number = 9
    wire = message.SerializeToString()
    assert sorted({number for number, _ in fields(wire)}) == [1, 2, 3, 4, 5]
    assert made["Ask"].FromString(wire) == message
    assert dict(message.map) == {"k": "v"}
    assert made["Nothing"]().SerializeToString() == b""


def test_a_type_that_the_table_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="Missing"):
        classes("test.v1", "Ask  1 inner Missing")


def test_functions_are_served_and_called(tmp_path: Path) -> None:
    async def say(request: Any, context: Any) -> Any:
        return API.make("Answer", text=request.text.upper())

    async def count(request: Any, context: Any) -> Any:
        for number in range(3):
            yield API.make("Answer", text=f"{request.text}{number}")

    async def play() -> None:
        import grpc.aio

        server = grpc.aio.server()
        server.add_generic_rpc_handlers((API.handlers("Echo", {"Say": say, "Count": count}),))
        server.add_insecure_port(f"unix://{tmp_path / 'echo.sock'}")
        await server.start()
        channel = open_channel(tmp_path / "echo.sock")
        ask = API.make("Ask", text="a")
        assert (await API.call(channel, "Echo", "Say")(ask, timeout=10)).text == "A"
        assert [one.text async for one in API.call(channel, "Echo", "Count")(ask, timeout=10)] == ["a0", "a1", "a2"]
        with pytest.raises(grpc.RpcError) as caught:
            await API.call(channel, "Other", "Say")(ask, timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]
        await channel.close()
        await server.stop(None)

    asyncio.run(play())
