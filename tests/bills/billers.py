"""All of the providers whose bills are compared with what is booked."""

from tests.bills import native, providers, servers
from tests.bills.drawn import Biller

BILLERS: list[Biller] = [
    providers.OpenAI(),
    providers.OpenAIAudio(),
    providers.Azure(),
    providers.Anthropic(),
    providers.Bedrock(),
    providers.XAI(),
    providers.Gemini(),
    providers.OpenRouter(),
    native.GeminiNative(),
    native.GeminiContent(),
    native.Converse(),
    native.Cohere(),
    native.OpenAIResponses(),
    native.OpenAIImages(),
    servers.DeepSeek(),
    servers.Groq(),
    servers.Kimi(),
    servers.Mistral(),
    servers.Perplexity(),
    servers.Cohere(),
    servers.Qwen(),
    servers.LiteLLM(),
    servers.VLLM(),
    servers.LlamaCpp(),
    servers.Ollama(),
]
