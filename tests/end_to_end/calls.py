"""Calls of all kinds, as an app that knows nothing of the proxy makes them."""

import base64
from typing import Any

import httpx

from tests.end_to_end.proxies import APP_KEY, Proxy

PICTURE = "data:image/png;base64," + base64.b64encode(b"\x89PNG" * 900).decode()
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Current weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "unit": {"enum": ["celsius", "fahrenheit"]},
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Search the web.",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
        },
    },
]
QUESTION = [
    {"role": "system", "content": "You are a travel assistant. Answer briefly."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Where is this, and is it sunny there?"},
            {"type": "image_url", "image_url": {"url": PICTURE}},
        ],
    },
]
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "temperature": 0.2, "messages": QUESTION}
WITH_TOOLS = {**CHAT, "tools": TOOLS, "tool_choice": "required"}
SEA = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What is the sea like?"}]}
TIDE = {"model": "gpt-4o", "instructions": "Be brief.", "input": "What is a tide?"}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "a chat": ("/chat/completions", CHAT),
    "a chat with tools": ("/chat/completions", WITH_TOOLS),
    "a stream": ("/chat/completions", {**SEA, "stream": True}),
    "a stream with tools": ("/chat/completions", {**WITH_TOOLS, "stream": True}),
    "a response": ("/responses", TIDE),
    "a streamed response": ("/responses", {**TIDE, "stream": True}),
    "embeddings": ("/embeddings", {"model": "text-embedding-3-small", "input": ["one", "two"]}),
    "no model": ("/chat/completions", {"messages": QUESTION}),
    "no such model": ("/chat/completions", {**SEA, "model": "gpt-0"}),
}


def app_of(proxy: Proxy, **headers: str) -> httpx.Client:
    """A client with a key of its own, whose base URL is the proxy."""
    return httpx.Client(
        base_url=proxy.base_url,
        headers={"Authorization": f"Bearer {APP_KEY}", **headers},
        trust_env=False,
        timeout=20,
    )


def make_calls(proxy: Proxy) -> dict[str, str]:
    """Make each of `CALLS`, and list the models; the exchange of each."""
    with app_of(proxy) as app:
        answers = {name: app.post(path, json=body) for name, (path, body) in CALLS.items()}
        answers["models"] = app.get("/models")
    return {name: answer.headers["x-foxora-exchange"] for name, answer in answers.items()}
