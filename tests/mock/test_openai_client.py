"""The openai package, unmodified, against the mock."""

from typing import Any

import openai
import pytest
from openai.types.conversations import Message
from pydantic import BaseModel

from tests.mock.builders import KEY, WEATHER, run, running

MODEL = "gpt-4o-mini"
HELLO: Any = [{"role": "user", "content": "Hello, mock. Try get_weather."}]


class City(BaseModel):
    name: str
    population: int
    twins: list[str]


def client_of(base_url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0)


def test_a_completion_a_stream_and_a_parsed_answer() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _), client_of(gateway.base_url) as client:
            chat = client.chat.completions
            plain = await chat.create(model=MODEL, messages=HELLO)
            streamed = ""
            async with chat.stream(model=MODEL, messages=HELLO) as stream:
                async for event in stream:
                    streamed += event.delta if event.type == "content.delta" else ""
            parsed = await chat.parse(model=MODEL, messages=HELLO, response_format=City)
        assert plain.choices[0].message.content == streamed
        assert parsed.choices[0].message.parsed is not None
        assert parsed.choices[0].message.parsed.population == 1

    run(scenario)


def test_tools_streamed_with_usage() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _), client_of(gateway.base_url) as client:
            tools: Any = [WEATHER]
            async with client.chat.completions.stream(
                model=MODEL, messages=HELLO, tools=tools, stream_options={"include_usage": True}
            ) as stream:
                completion = await stream.get_final_completion()
        calls = completion.choices[0].message.tool_calls
        assert calls is not None
        assert calls[0].function.arguments == '{"city":"Paris","unit":"celsius"}'
        assert completion.usage is not None

    run(scenario)


def test_responses_embeddings_and_legacy_completions() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _), client_of(gateway.base_url) as client:
            plain = await client.responses.create(model=MODEL, input="Hello")
            async with client.responses.stream(model=MODEL, input="Hello") as stream:
                streamed = await stream.get_final_response()
            vectors = await client.embeddings.create(model="text-embedding-3-small", input="a")
            legacy = await client.completions.create(model=MODEL, prompt="Hello")
            models = await client.models.list()
        assert plain.output_text == streamed.output_text
        assert len(vectors.data[0].embedding) == 1_536
        assert legacy.choices[0].finish_reason == "length"
        assert models.data[0].id == MODEL

    run(scenario)


def test_stored_responses_and_conversations() -> None:
    async def scenario() -> None:
        async with running() as (gateway, _), client_of(gateway.base_url) as client:
            conversation = await client.conversations.create(items=[], metadata={"a": "b"})
            items = client.conversations.items
            await items.create(conversation.id, items=HELLO * 20)
            queued = await client.responses.create(
                model=MODEL, input="Hello", conversation=conversation.id, background=True
            )
            response = await client.responses.retrieve(queued.id)
            assert (queued.status, response.status) == ("queued", "completed")
            assert (await client.responses.cancel(queued.id)).output_text == response.output_text
            kept = [item async for item in items.list(conversation.id, order="asc")]
            assert [type(item) for item in kept] == [Message] * 22
            made_of = [each async for each in client.responses.input_items.list(queued.id, limit=9)]
            assert [item.id for item in reversed(made_of)] == [item.id for item in kept[:-1]]
            first = str(kept[0].id)
            assert await items.retrieve(first, conversation_id=conversation.id) == kept[0]
            assert await items.delete(first, conversation_id=conversation.id) == conversation
            compacted = await client.responses.compact(model=MODEL, previous_response_id=queued.id)
            assert [item.type for item in compacted.output] == ["message"] * 21 + ["compaction"]
            counted = await client.responses.input_tokens.count(model=MODEL, input="Hello")
            assert counted.input_tokens == 2
            await client.responses.delete(queued.id)
            assert (await client.conversations.delete(conversation.id)).deleted
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(queued.id)

    run(scenario)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status=400", openai.BadRequestError),
        ("status=429", openai.RateLimitError),
        ("status=503", openai.InternalServerError),
        ("close-before-head", openai.APIConnectionError),
    ],
)
def test_faults_raise_what_the_package_raises(fault: str, error: type[Exception]) -> None:
    async def scenario() -> None:
        async with running() as (gateway, _), client_of(gateway.base_url) as client:
            with pytest.raises(error):
                await client.models.list(extra_headers={"x-mock-fault": fault})

    run(scenario)
