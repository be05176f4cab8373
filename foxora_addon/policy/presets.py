"""Where providers keep an API of OpenAI's shape: hosts, the paths it lies below, where keys stand.

Pure data, one row for each provider. A row says nothing of how a request is recognised or
rewritten; a new provider is a new row.
"""

from typing import Final, NamedTuple

from foxora_addon.policy.hosts import HostPattern, parse_host_pattern


class Preset(NamedTuple):
    """A provider's API.

    What a path has below the longest of `prefixes` that fits is the path below the gateway's base
    URL; "" is the host's root. The two credential fields name where clients put their key, all in
    lower case: it is taken out there, whatever the host (`rewrite`).
    """

    hosts: tuple[HostPattern, ...]
    prefixes: tuple[str, ...]
    credential_headers: tuple[str, ...] = ("authorization",)
    credential_parameters: tuple[str, ...] = ()


def _preset(
    *hosts: str,
    prefixes: tuple[str, ...] = ("/v1",),
    headers: tuple[str, ...] = ("authorization",),
    parameters: tuple[str, ...] = (),
) -> Preset:
    return Preset(tuple(map(parse_host_pattern, hosts)), prefixes, headers, parameters)


PRESETS: Final[dict[str, Preset]] = {
    # Data residency gives OpenAI's customers names such as eu.api.openai.com.
    "openai": _preset("api.openai.com", "*.api.openai.com"),
    # Below /openai also lie deployments, whose name stands for the model; below /models the older
    # inference API. Sovereign clouds have their own domains.
    "azure": _preset(
        "*.openai.azure.com",
        "*.services.ai.azure.com",
        "*.cognitiveservices.azure.com",
        "*.api.cognitive.microsoft.com",
        "*.openai.azure.us",
        "*.openai.azure.cn",
        prefixes=("/openai/v1", "/openai", "/models"),
        headers=("api-key", "authorization", "ocp-apim-subscription-key"),
        parameters=("api-key",),
    ),
    "cerebras": _preset("api.cerebras.ai"),
    "cohere": _preset("api.cohere.ai", "api.cohere.com", prefixes=("/compatibility/v1",)),
    "dashscope": _preset(
        "dashscope.aliyuncs.com",
        "dashscope-intl.aliyuncs.com",
        "dashscope-us.aliyuncs.com",
        prefixes=("/compatible-mode/v1",),
    ),
    "deepinfra": _preset("api.deepinfra.com", prefixes=("/v1/openai",)),
    "deepseek": _preset("api.deepseek.com", prefixes=("/v1", "/beta", "")),
    "fireworks": _preset("api.fireworks.ai", prefixes=("/inference/v1",)),
    "gemini-openai": _preset(
        "generativelanguage.googleapis.com",
        prefixes=("/v1beta/openai",),
        headers=("authorization", "x-goog-api-key"),
        parameters=("key",),
    ),
    "github-models": _preset("models.github.ai", prefixes=("/inference",)),
    "groq": _preset("api.groq.com", prefixes=("/openai/v1",)),
    "huggingface": _preset("router.huggingface.co"),
    "hyperbolic": _preset("api.hyperbolic.xyz"),
    "lmstudio": _preset("localhost:1234", "127.0.0.1:1234"),
    "mistral": _preset("api.mistral.ai", "codestral.mistral.ai"),
    "moonshot": _preset("api.moonshot.ai", "api.moonshot.cn"),
    "novita": _preset("api.novita.ai", prefixes=("/v3/openai", "/openai/v1", "/openai")),
    "nvidia": _preset("integrate.api.nvidia.com"),
    "ollama": _preset("localhost:11434", "127.0.0.1:11434"),
    "openrouter": _preset("openrouter.ai", prefixes=("/api/v1",)),
    "perplexity": _preset("api.perplexity.ai", prefixes=("/v1", "")),
    "sambanova": _preset("api.sambanova.ai"),
    "siliconflow": _preset("api.siliconflow.com", "api.siliconflow.cn"),
    "together": _preset("api.together.xyz", "api.together.ai"),
    "xai": _preset("api.x.ai", "*.api.x.ai"),
    "zhipu": _preset(
        "api.z.ai", "open.bigmodel.cn", prefixes=("/api/paas/v4", "/api/coding/paas/v4")
    ),
}
