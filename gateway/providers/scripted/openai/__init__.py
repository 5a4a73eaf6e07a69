"""The scripted provider's OpenAI surface, a noun per file."""

from gateway.providers.scripted.openai import audio, chat, completions, embeddings, images, responses, small
from gateway.providers.scripted.scenario import Json, Rejected, Surface

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def _error(error: Rejected) -> Json:
    kind = error.code if error.code == "insufficient_quota" else _TYPES.get(error.status)
    kind = kind or ("server_error" if error.status >= 500 else "invalid_request_error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


SURFACE = Surface(
    "openai",
    (
        ("POST", "/chat/completions", "chat", chat.chat),
        ("POST", "/completions", "completions", completions.completions),
        ("POST", "/embeddings", "embeddings", embeddings.embeddings),
        ("POST", "/responses", "responses", responses.responses),
        ("POST", "/moderations", "moderations", small.moderations),
        ("POST", "/rerank", "rerank", small.rerank),
        ("POST", "/images/generations", "images", images.generate),
        ("POST", "/images/edits", "images", images.alter),
        ("POST", "/images/variations", "images", images.alter),
        ("POST", "/audio/speech", "speech", audio.speech),
        ("POST", "/audio/transcriptions", "transcription", audio.transcribe),
        ("POST", "/audio/translations", "transcription", audio.transcribe),
        ("GET", "/models", "models", small.models),
        ("GET", "/models/{model}", "models", small.model),
    ),
    _error,
)
