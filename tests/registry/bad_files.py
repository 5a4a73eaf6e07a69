"""Bad configuration files and exactly what the operator is told about each."""
# ruff: noqa: E501 — the messages are compared as they are printed

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
            "2:1: this is not valid YAML: found character '\\t' that cannot start any token (check indentation, quotes and brackets)",
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
            "1:12: the alias `nope` has no anchor before it (define `&name` first)",
        ],
    ),
    "alias of itself": (
        "providers: &a {b: *a}\n",
        [
            "1:19: the alias `a` has no anchor before it (define `&name` first)",
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
            "2:1: unknown key `zzz` (known: version, zone, providers, routes, keys, teams, limits, alerts)",
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
    "a list for a mapping": (
        """\
providers:
- type: mock
""",
        [
            "2:1: expected a mapping (write `name: value` lines below it)",
        ],
    ),
    "a mapping for a list": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
routes: {a: b}
""",
        [
            "2:9: expected a list (write `- item` lines below it)",
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
            "8:12: a match needs a condition (set `model`, `service`, `team`, `key`, `headers` or `stream`)",
            "9:14: there is nothing in it (add an entry)",
            "10:15: this is none of the known words (use one of priority, round_robin, weighted, least_latency, least_busy, cost_optimized, sticky)",
            "11:19: this is none of the known words; did you mean `error`? (use one of error, timeout, rate_limit, auth, context_window, content_filter)",
            "12:5: expected a mapping (write `name: value` lines below it)",
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
    "bad burst": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
keys:
- {name: k, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, limits: {requests: {rate: 5/s, burst: 0}, tokens: {rate: 5/s}}}
""",
        [
            "3:74: `burst` must be at least 1",
            "3:105: expected a rate (write 500/min, or {rate: 500/min, burst: 50})",
        ],
    ),
    "unset variables": (
        """\
providers: {m: {type: mock}}
routes:
 - {name: '${NO}', match: {model: '${}'}, targets: [{provider: m, model: '${X'}]}
""",
        [
            "3:11: the variable NO is not set (set it, or write a default: ${NO:-value})",
            "3:35: a `${` is not closed or names no variable (write ${NAME}, or $${ for the text)",
            "3:74: a `${` is not closed or names no variable (write ${NAME}, or $${ for the text)",
        ],
    ),
    "plain values that stand for a mapping": (
        """\
providers:
  m:
    type: mock
    timeout: 0
    rate_limit: fast
""",
        [
            "4:5: the value must be above 0",
            "5:5: expected a rate (write a count and a period: 20/s, 500/min, 200k/h, 5M/day)",
        ],
    ),
    "two secrets": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
keys: [{name: k, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, secret_hash: 0000000000000000000000000000000000000000000000000000000000000000}]
""",
        [
            "2:8: a key has `secret` or `secret_hash`, not both (remove one)",
        ],
    ),
    "a list as secret": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
keys: [{name: k, secret: [a]}]
""",
        [
            "2:26: expected text (put it in quotes)",
        ],
    ),
    "a number as address": (
        "providers: {c: {type: custom, base_url: 5}}\n",
        [
            "1:41: expected an address (write https://host/path)",
        ],
    ),
    "deployments": (
        """\
providers:
  a: {type: azure, resource: r, api_key: k, deployments: {m: 1}}
""",
        [
            "2:58: expected a mapping of model names to deployment names",
        ],
    ),
    "a quota that downgrades to nothing": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
teams:
- {name: t, quotas: [{period: day, cost: 1, action_on_exceed: {downgrade: mock/mock-smal}}]}
""",
        [
            "3:75: no route and no provider has a model `mock/mock-smal`; did you mean `mock-small`? (name one that is configured)",
        ],
    ),
    "quotas": (
        """\
zone: Europe/Berln
providers: {mock: {type: mock, models: [mock-small]}}
teams:
- name: t
  quotas:
  - {period: fornight, cost: 1}
  - {period: day, zone: 5, requests: 5, unpriced: allow}
  - {period: day, cost: 1, throttle_to: 5/min}
  - {period: day, cost: 1, action_on_exceed: throttle, throttle_to: 5}
  - {period: day, cost: 1, action_on_exceed: {downgrade: mock-large}, throttle_to: 5/min, unpriced: alow}
  - {period: day, cost: 0, soft: 80, on_store_failure: retry}
  - {period: day, soft: 0.5}
""",
        [
            "1:7: this is no IANA time zone; did you mean `Europe/Berlin`? (write one such as UTC or Europe/Berlin)",
            "6:14: this is none of the known words (use one of minute, hour, day, week, month, year, total)",
            "7:25: this is no IANA time zone (write one such as UTC or Europe/Berlin)",
            "7:41: only a quota of `cost` asks for prices (remove `unpriced`, or set `cost`)",
            "8:28: only `action_on_exceed: throttle` has a rate to throttle to (set it, or remove `throttle_to`)",
            "9:69: expected a rate (write a count and a period: 20/s, 500/min, 200k/h, 5M/day)",
            "10:58: no route and no provider has a model `mock-large`; did you mean `mock-small`? (name one that is configured)",
            "10:71: only `action_on_exceed: throttle` has a rate to throttle to (set it, or remove `throttle_to`)",
            "10:101: this is none of the known words; did you mean `allow`? (use one of refuse, allow)",
            "11:25: the value must be above 0",
            "11:34: the value must be at most 1",
            "11:56: this is none of the known words (use one of open, closed, bounded)",
            "12:5: a quota needs an amount (set `cost`, `tokens` or `requests`)",
        ],
    ),
    "limits of members": (
        """\
providers: {mock: {type: mock, models: [mock-small]}, m2: {type: mock, fetch_models: true}}
keys: [{name: ci, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}]
teams: [{name: research}]
limits:
- {name: a, scope: global, only: [x], requests: 5/s}
- {name: b, scope: user, only: x, requests: 5/s}
- {name: c, scope: team, only: [reserch, nobody-*], requests: 5/s}
- {name: d, scope: key, only: [c1, ci], requests: 5/s}
- {name: e, scope: provider, only: mok, requests: 5/s}
- {name: f, scope: model, only: [mock-smal, gpt*], requests: 5/s}
- {name: g, scope: deployment, only: [mock/mock-smal, mock-small, mock/mock-small, m2/any], requests: 5/s}
- {name: h, scope: model, only: [], requests: 5/s, concurrency: 0}
- {name: i, scope: models, quotas: [{period: day, cost: 5}]}
- {name: j, scope: provider, quotas: [{period: day, cost: 5, action_on_exceed: {downgrade: mock-small}}]}
- {name: k, scope: model, quotas: [{period: day, tokens: 5M, action_on_exceed: {downgrade: mock}}]}
- {name: l, scope: model, quotas: []}
- {scope: team, request: 5/s, on_store_failure: never}
""",
        [
            "5:28: a limit of scope global is for all requests together (remove `only`, or choose another scope)",
            "6:26: a limit of scope user is for every user (remove `only`, or choose another scope)",
            "7:33: there is no team `reserch`; did you mean `research`? (declare it under `teams`, or correct it)",
            "8:32: there is no key `c1` (declare it under `keys`, or correct it)",
            "9:36: there is no provider `mok`; did you mean `mock`? (declare it under `providers`, or correct it)",
            "10:34: no route and no provider has a model `mock-smal`; did you mean `mock-small`? (name one that is configured)",
            "11:39: there is no deployment `mock/mock-smal`; did you mean `mock/mock-small`? (write provider/model as configured)",
            "11:55: there is no deployment `mock-small`; did you mean `mock/mock-small`? (write provider/model as configured)",
            "12:33: there is nothing in it (add an entry)",
            "12:65: the value must be at least 1",
            "13:20: this is none of the known words; did you mean `model`? (use one of global, user, key, team, model, provider, deployment)",
            "14:80: the model is settled before a provider is chosen (use reject: a route goes on to its next target)",
            "15:92: no route and no provider has a model `mock` (name one that is configured)",
            "16:3: a limit limits something (set `requests`, `tokens`, `concurrency` or `quotas`)",
            "17:3: `name` is missing (add it)",
            "17:17: unknown key `request`; did you mean `requests`?",
            "17:49: this is none of the known words (use one of open, closed, bounded)",
        ],
    ),
    "what a key may do": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
keys:
- {name: a, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, services: [chat, embedings], expires: 2027-02-30}
- {name: b, secret: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, services: [], expires: 2027}
- {name: c, secret: cccccccccccccccccccccccccccccccc, service: chat, expires: in a year}
""",
        [
            "3:72: this is none of the known words; did you mean `embeddings`? (use one of chat, completions, embeddings, responses, moderations, images, speech, transcription, rerank)",
            "3:93: expected a date or a time (write 2027-01-31, or 2027-01-31T18:00:00Z)",
            "4:65: there is nothing in it (add an entry)",
            "4:78: expected a date or a time (write 2027-01-31, or 2027-01-31T18:00:00Z)",
            "5:55: unknown key `service`; did you mean `services`?",
            "5:79: expected a date or a time (write 2027-01-31, or 2027-01-31T18:00:00Z)",
        ],
    ),
    "alerts": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
alerts:
  webhook: hooks.example/x
  url: https://hooks.example/x
  headers: {host: x, x-a: 5}
""",
        [
            "3:12: expected an address (write https://host/path or http://host:port/path)",
            "4:3: unknown key `url` (known: webhook, headers)",
            "5:13: this header belongs to the connection and cannot be set (remove it)",
            "5:27: a header value is one line of ASCII text (put it in quotes)",
        ],
    ),
    "a webhook with a user": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
alerts: {webhook: "https://u:p@hooks.example/x"}
""",
        [
            "2:19: an address must not hold a user or password (use `api_key` or `headers`)",
        ],
    ),
    "limits of a model, and of a route": (
        """\
providers:
  mock:
    type: mock
    models:
      mock-small: {rate_limit: {request: 5/s, tokens: 0/s}, concurrency_limit: 0, max_output_tokens: 0}
      mock-large: {rate_limit: fast, max_output_tokens: 4.5k}
routes:
- {name: r, match: {model: x}, targets: [{provider: mock, model: mock-small}], max_output_tokens: 0, max_tokens: 5}
""",
        [
            "5:33: unknown key `request`; did you mean `requests`?",
            "5:55: a rate must allow at least 1 (raise it, or remove the limit)",
            "5:80: the value must be at least 1",
            "5:102: the value must be at least 1",
            "6:20: expected a rate (write a count and a period: 20/s, 500/min, 200k/h, 5M/day)",
            "8:99: the value must be at least 1",
            "8:102: unknown key `max_tokens`; did you mean `max_output_tokens`?",
        ],
    ),
    "prices": (
        """\
providers:
  a:
    type: mock
    models:
      m: {price: {}}
      n: {price: {tiers: [{above: 5, input: 1}]}}
      o: {price: {input: .nan, output: .inf, per_unit: -1, tires: []}}
      p: {price: {input: 1, tiers: {above: 5}}}
      q: {price: {input: 1, tiers: [{input: 5}, {above: many, inptu: 1}]}}
      r: {price: {input: 1, tiers: [{above: 5, input: 2}, {above: 5, input: 3}]}}
      s: {price: {input: 1000000, audio_input: x, audio_output: -0.1, tiers: null}}
      t: {price: {per_unit: 1, tiers: [{above: 0, input: 1}]}}
""",
        [
            "5:18: a price needs an amount (write {input: 2.5, output: 10}, or 0 if it is free)",
            "6:18: a price needs an amount (write {input: 2.5, output: 10}, or 0 if it is free)",
            "7:26: expected a number (write digits, such as 2 or 0.5)",
            "7:40: expected a number (write digits, such as 2 or 0.5)",
            "7:56: the value must be at least 0",
            "7:60: unknown key `tires`; did you mean `tiers`?",
            "8:36: expected a list (write `- item` lines below it)",
            "9:37: `above` is missing (add it)",
            "9:57: expected a count (write a whole number, or 200k, 5M)",
            "9:63: unknown key `inptu`; did you mean `input`?",
            "10:36: two tiers begin `above` the same number of tokens (remove one)",
            "11:26: the value must be at most 100000",
            "11:48: expected a number (write digits, such as 2 or 0.5)",
            "11:65: the value must be at least 0",
            "11:71: there is no value (add one, or remove the key)",
            "12:48: the value must be at least 1",
        ],
    ),
    "missing in a route": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
routes:
- {name: r, match: {model: x}}
- {match: {model: x}, targets: [{provider: mock}]}
""",
        [
            "3:3: `targets` is missing (add it)",
            "4:3: `name` is missing (add it)",
            "4:33: `model` is missing (add it)",
        ],
    ),
}
