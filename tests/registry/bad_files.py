"""Bad configuration files and exactly what the operator is told about each."""
# ruff: noqa: E501 — the messages are compared as they are printed

from tests.registry.bad_files_more import MORE_BAD_FILES

BAD_FILES: dict[str, tuple[str, list[str]]] = {
    "empty file": (
        "  \n",
        [
            "1:1: the file is empty (declare at least one provider)",
        ],
    ),
    "text instead of a mapping": (
        "hello",
        [
            "1:1: expected a mapping at the top (start with `providers:`)",
        ],
    ),
    "list instead of a mapping": (
        "- a\n",
        [
            "1:1: expected a mapping at the top (start with `providers:`)",
        ],
    ),
    "unclosed bracket": (
        """\
providers:
  a: [1, 2
routes: []
""",
        [
            "3:7: this is not valid YAML: expected ',' or ']', but got ':' (check indentation, quotes and brackets)",
        ],
    ),
    "tab": (
        """\
providers:
	a: b
""",
        [
            "2:1: this is not valid YAML: found character '\\t' that cannot start any token (indent with spaces)",
        ],
    ),
    "stray brace": (
        "providers: {a: b}}\n",
        [
            "1:18: this is not valid YAML: expected <block end>, but found '}' (check indentation, quotes and brackets)",
        ],
    ),
    "control character": (
        "providers: {a: \x01}\n",
        [
            "1:16: a character is not allowed in YAML (remove it)",
        ],
    ),
    "duplicate key": (
        """\
providers:
  mock: {type: mock}
  mock: {type: mock}
""",
        [
            "3:3: duplicate key `mock`; it stands on line 2 already (keep one of them)",
        ],
    ),
    "tag": (
        "providers: !!python/object:os.system x\n",
        [
            "1:12: YAML tags are not used here (remove the `!…`)",
        ],
    ),
    "unknown alias": (
        "providers: *nope\n",
        [
            "1:12: the alias `nope` has no anchor before it (define `&name` first, or put text that begins with `*` in quotes)",
        ],
    ),
    "alias of itself": (
        "providers: &a {b: *a}\n",
        [
            "1:19: the alias `a` has no anchor before it (define `&name` first, or put text that begins with `*` in quotes)",
        ],
    ),
    "second document": (
        """\
providers: {m: {type: mock}}
---
a: b
""",
        [
            "2:1: a second document starts here (keep one document per file)",
        ],
    ),
    "mapping as key": (
        """\
? {a: b}
: c
""",
        [
            "1:3: a key must be plain text (write `name: value`)",
        ],
    ),
    "merge of a scalar": (
        """\
a: &a 1
providers: {<<: *a}
""",
        [
            "1:4: `<<` merges mappings only (name an anchor of a mapping)",
        ],
    ),
    "half a character": (
        'providers: {"m": {type: "\\ud800"}}\n',
        [
            "1:25: this text holds half a character (fix its escapes)",
        ],
    ),
    "unknown key": (
        """\
providers:
  mock:
    type: mock
    modles: [a]
""",
        [
            "4:5: unknown key `modles`; did you mean `models`?",
        ],
    ),
    "unknown key at the top": (
        """\
providers: {mock: {type: mock}}
zzz: 1
""",
        [
            "2:1: unknown key `zzz` (known: version, zone, plugins, providers, aliases, routes, keys, teams, limits, alerts)",
        ],
    ),
    "no providers": (
        "version: 1\n",
        [
            "1:1: `providers` is missing (add it)",
        ],
    ),
    "empty providers": (
        "providers: {}\n",
        [
            "1:12: there is nothing in it (add an entry)",
        ],
    ),
    "other version": (
        """\
version: 2
providers: {mock: {type: mock}}
""",
        [
            "1:10: this must be 1",
        ],
    ),
    "no value": (
        """\
providers:
  m:
    type: mock
    status:
    stream:
""",
        [
            "4:5: there is no value (add one, or remove the key)",
            "5:5: there is no value (add one, or remove the key)",
        ],
    ),
    "unknown and missing types": (
        """\
providers:
  x: {type: opnai}
  y: {}
  z: 5
""",
        [
            "2:13: this provider type is not known; did you mean `openai`? (known: anthropic, azure, bedrock, cohere, custom, deepseek, gemini, groq, huggingface, meta, mistral, mock, ollama, openai, openai_compatible, openrouter, together, vertex, vllm, watsonx, xai)",
            "3:3: `type` is missing (add the kind of provider, such as `type: openai`)",
            "4:6: expected a mapping (write `type: …` and the provider's settings below it)",
        ],
    ),
    "missing settings": (
        """\
providers:
  x: {type: openai}
  y: {type: azure, api_key: abc}
  w: {type: watsonx, api_key: a, api_url: 'https://x'}
  v: {type: vllm}
""",
        [
            "2:3: a provider of type `openai` needs `api_key` (add it)",
            "3:3: a provider of type `azure` needs `resource`, or `base_url` (add it)",
            "4:3: a provider of type `watsonx` needs `project_id`, or `space_id` (add it)",
            "5:3: a provider of type `vllm` needs `base_url` (add it)",
        ],
    ),
    "half of a pair": (
        """\
providers:
  b: {type: bedrock, region: us-east-1, access_key_id: AKIA}
""",
        [
            "2:3: a provider of type `bedrock` needs `access_key_id` and `secret_access_key`, or `api_key` (add it)",
        ],
    ),
    "addresses": (
        """\
providers:
  a: {type: custom, base_url: 'ftp://x'}
  b: {type: custom, base_url: 'https://u:p@x'}
  c: {type: custom, base_url: 'https://x/?q'}
""",
        [
            "2:31: expected an address (write https://host/path or http://host:port/path)",
            "3:31: an address must not hold a user or password (use `api_key` or `headers`)",
            "4:31: an address must not hold a query or fragment (remove what follows `?` or `#`)",
        ],
    ),
    "host part": (
        """\
providers:
  a: {type: azure, api_key: k, resource: evil.example/x}
""",
        [
            "2:42: expected letters, digits and dashes (it becomes part of a host name)",
        ],
    ),
    "key with a line break": (
        'providers:\n  o: {type: openai, api_key: "sk-1\\n"}\n',
        [
            "2:30: a credential is ASCII without spaces or line breaks (check how it was copied)",
        ],
    ),
    "empty key list": (
        """\
providers:
  o: {type: openai, api_key: []}
""",
        [
            "2:30: expected at least one key (add one, or remove the setting)",
        ],
    ),
    "provider settings": (
        """\
providers:
  a:
    type: mock
    status: actve
    retry_attempts: 99
    retry_delay: fast
    rate_limit: {requests: 5/fortnight}
    timeout: {connect: -1, total: 0}
    concurrency_limit: 0
    batch_size: many
    stream: maybe
    models: {m: {price: {input: -1}, context_window: big, capabilities: [Chat], contxt: 1}, 'a b': {}}
    headers: {"bad header": x, host: y, x-a: 5}
  "a/b": {type: mock}
""",
        [
            "4:13: this is none of the known words; did you mean `active`? (use one of active, inactive, testing)",
            "5:21: the value must be at most 10",
            "6:18: expected a duration (write seconds, or 500ms, 10s, 5m, 1h)",
            "7:28: expected a rate (write a count and a period: 20/s, 500/min, 200k/h, 5M/day)",
            "8:24: expected a duration (write seconds, or 500ms, 10s, 5m, 1h)",
            "8:35: the value must be above 0",
            "9:24: the value must be at least 1",
            "10:17: expected a whole number (write digits only)",
            "11:13: expected true or false",
            "12:33: the value must be at least 0",
            "12:54: expected a count (write a whole number, or 200k, 5M)",
            "12:74: a capability is one lower-case word (such as chat, vision, tools, json_schema)",
            "12:81: unknown key `contxt`; did you mean `context_window`?",
            "12:93: a model name is 1 to 256 printable ASCII characters without spaces (rename it)",
            "13:15: this is not a header name (use letters, digits and dashes)",
            "13:32: this header belongs to the connection and cannot be set (remove it)",
            "13:46: a header value is one line of ASCII text (put it in quotes)",
            "14:3: a name is 1 to 64 ASCII letters, digits, dots, dashes or underscores (rename it)",
        ],
    ),
    "tiers of service": (
        """\
providers:
  a:
    type: mock
    models:
      m: {price: {input: 1, service_tiers: {default: {input: 1}, Flex: {input: 2}, flex: {}, priority: {inptu: 3}}}}
      n: {price: {service_tiers: {flex: {input: 2}}}}
""",
        [
            "5:45: what `default` costs is what the price itself says (write it there)",
            "5:66: a tier of service has a name in small letters (such as flex, priority)",
            "5:90: a tier of service needs a price (write {input: 5, output: 20}, or remove it)",
            "5:105: unknown key `inptu`; did you mean `input`?",
            "6:18: a price needs an amount (write {input: 2.5, output: 10}, or 0 if it is free)",
        ],
    ),
    "a list for a mapping": (
        """\
providers:
- type: mock
""",
        [
            "2:1: expected a mapping (write `name: value` lines below it, or in TOML a table)",
        ],
    ),
    "a mapping for a list": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
routes: {a: b}
""",
        [
            "2:9: expected a list (write `[item, …]`, or in YAML `- item` lines below it)",
        ],
    ),
    "text for models": (
        """\
providers:
  m: {type: mock, models: mock-small}
""",
        [
            "2:27: expected a list of model names, or a mapping of names to settings",
        ],
    ),
    "numbers as models": (
        """\
providers:
  m: {type: mock, models: [1]}
""",
        [
            "2:27: expected a list of model names (put each in quotes)",
        ],
    ),
    "references and duplicates": (
        """\
providers:
  openai: {type: openai, api_key: x, models: [gpt-4o, gpt-4o]}
routes:
  - name: a
    match: {model: x, team: reserch, key: c1}
    targets: [{provider: opnai, model: gpt-4o}, {provider: openai, model: gpt-4}]
  - name: a
    match: {}
    targets: []
    strategy: fastest
    fallback_on: [errors]
  - 5
keys:
  - {name: ci, secret: short, team: nope, limits: {requests: 60, tokens: 0/min}}
  - {name: k2, secret: 12345}
  - {name: k3}
  - {name: k4, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, secret_hash: abc}
  - {name: k5, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, quotas: [{period: fortnight}, {period: day}, {period: day, cost: 1, action_on_exceed: {downgrade: gpt4o}}, {period: day, cost: 1, action_on_exceed: explode}]}
teams: [{name: research}]
limits: [{name: x, scope: planet}, {name: x, scope: user}]
""",
        [
            "2:55: `gpt-4o` is listed twice (remove one)",
            "5:29: there is no team `reserch`; did you mean `research`? (declare it under `teams`, or correct it)",
            "5:43: there is no key `c1` (declare it under `keys`, or correct it)",
            "6:26: there is no provider `opnai`; did you mean `openai`? (declare it under `providers`, or correct it)",
            "6:75: the provider `openai` lists no model `gpt-4`; did you mean `gpt-4o`? (list it there, or correct it)",
            "7:11: the name `a` is taken by routes[0] already (choose another)",
            "8:12: a match needs a condition (set `model`, `service`, `team`, `key`, `group`, `headers`, `stream`, `capabilities`, `context` or `size`; a route for all the rest says `default: true` instead of `match`)",
            "9:14: there is nothing in it (add an entry)",
            "10:15: this is none of the known words (use one of priority, primary_fallback, round_robin, weighted, least_latency, least_busy, cost_optimized, usage_based, sticky)",
            "11:19: this is none of the known words; did you mean `error`? (use one of error, timeout, rate_limit, auth, context_window, content_filter)",
            "12:5: expected a mapping (write `name: value` lines below it, or in TOML a table)",
            "14:24: a secret needs at least 32 characters (create one with `gateway keys create`)",
            "14:37: there is no team `nope` (declare it under `teams`, or correct it)",
            "14:62: expected a rate (write a count and a period: 20/s, 500/min, 200k/h, 5M/day)",
            "14:74: a rate must allow at least 1 (raise it, or remove the limit)",
            "15:24: expected text (put it in quotes)",
            "16:5: a key needs `secret` or `secret_hash` (add one of them)",
            "17:78: expected the SHA-256 of a secret (64 hexadecimal digits)",
            "18:5: this key has the same secret as keys[3] (create another secret)",
            "18:83: this is none of the known words (use one of minute, hour, day, week, month, year, total)",
            "18:95: a quota needs an amount (set `cost`, `tokens` or `requests`)",
            "18:213: expected reject, throttle, alert or {downgrade: <model>}",
            "20:27: this is none of the known words (use one of global, user, key, team, model, provider, deployment)",
            "20:36: a limit limits something (set `requests`, `tokens`, `concurrency` or `quotas`)",
            "20:43: the name `x` is taken by limits[0] already (choose another)",
        ],
    ),
    **MORE_BAD_FILES,
}
