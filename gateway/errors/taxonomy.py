"""The standard words for failures: one small vocabulary over all providers, for logs, metrics and the admin API.

`standard_type` takes the label of a failure (`GatewayError.reason`, or an attempt's `outcome`). The labels say exactly
what happened; the words say what kind of thing it was, and stay when labels are added.
"""

from __future__ import annotations

from collections.abc import Mapping

TYPES = frozenset(
    {
        "initialization_failed",
        "authentication_failed",
        "configuration_invalid",
        "rate_limit_exceeded",
        "request_timeout",
        "api_error",
        "prompt_preparation_failed",
        "template_formatting_failed",
        "invalid_parameters",
        "model_not_available",
        "resource_exhausted",
        "invalid_response",
        "response_parsing_failed",
    }
)

_LABELS: Mapping[str, tuple[str, ...]] = {
    "authentication_failed": ("invalid_api_key", "key_expired", "key_revoked", "forbidden_host", "provider_auth"),
    "configuration_invalid": ("unpriced_model", "upstream_tls", "tls"),
    "rate_limit_exceeded": ("rate_limit_exceeded", "upstream_rate_limited", "429"),
    "request_timeout": (
        "request_timeout",
        "client_disconnected",
        "upstream_timeout",
        "connect_timeout",
        "ttfb_timeout",
        "stall",
        "408",
        "deadline_exceeded",
    ),
    "invalid_parameters": (
        "invalid_request",
        "invalid_request_error",
        "invalid_json",
        "malformed",
        "request_too_large",
        "unsupported_media_type",
        "unknown_url",
        "method_not_supported",
        "unsupported_parameter",
        "unsupported",
        "upstream_rejected",
        "context_length_exceeded",
        "4xx",
        "context_window",
        "context_length_exceeded",
        "content_filter",
    ),
    "model_not_available": ("model_not_found", "model_access_denied", "no_upstream", "capability_not_supported"),
    "resource_exhausted": (
        "insufficient_quota",
        "request_exceeds_limit",
        "overloaded",
        "upstream_overloaded",
        "pool_timeout",
        "no_sockets",
        "draining",
        "auth_unavailable",
        "quota_unavailable",
        "credentials_unavailable",
        "ledger_unavailable",
    ),
    "invalid_response": ("bad_upstream_response", "bad_response", "empty", "redirect", "too_large"),
    "response_parsing_failed": ("bad_sse", "bad_json"),
}
_BY_LABEL = {label: word for word, labels in _LABELS.items() for label in labels}


def standard_type(label: str) -> str | None:
    """The word for this label; `api_error` for one without a word of its own, None for `ok`."""
    return None if label == "ok" else _BY_LABEL.get(label, "api_error")
