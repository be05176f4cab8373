"""An OpenAI app as anybody writes one: it has never heard of Foxora, nor of a proxy."""

from openai import OpenAI

client = OpenAI()

answer = client.chat.completions.create(
    model="gpt-4o-mini",
    messages=[{"role": "user", "content": "Who answers me here?"}],
)
print(answer.choices[0].message.content)

stream = client.chat.completions.create(
    model="gpt-4o",
    messages=[{"role": "user", "content": "Count the stars of the Little Fox, please."}],
    stream=True,
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()
