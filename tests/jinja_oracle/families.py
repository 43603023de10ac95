"""Chat templates in the manner of the known model families, written for these tests."""

FAMILIES = {}

FAMILIES["chatml"] = """\
{%- for message in messages %}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""

FAMILIES["llama2"] = """\
{% if messages and messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}{% set sys = messages[0]['content'] %}{% else %}{% set turns = messages %}{% set sys = false %}{% endif %}
{% for m in turns %}
{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}
{%- if loop.index0 == 0 and sys != false %}{% set content = '<<SYS>>\\n' + sys + '\\n<</SYS>>\\n\\n' + m['content'] %}{% else %}{% set content = m['content'] %}{% endif %}
{%- if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content | trim + ' [/INST]' }}{% elif m['role'] == 'assistant' %}{{ ' ' + content | trim + ' ' + eos_token }}{% endif %}
{% endfor %}"""

FAMILIES["llama31"] = """\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if tools_in_user_message is not defined %}{% set tools_in_user_message = true %}{% endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message stands first, or there is none. #}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there is none!") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

FAMILIES["mistral"] = """\
{%- if messages and messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {%- if not message.tool_call_id is defined or message.tool_call_id|length != 9 %}
            {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
        {%- endif %}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

FAMILIES["gemma"] = """\
{{ bos_token }}{% if messages and messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}"""

FAMILIES["phi3"] = """\
{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""

FAMILIES["zephyr"] = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

FAMILIES["deepseek"] = """\
{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is none %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<｜Assistant｜><｜tool▁calls▁begin｜>' + tool['name'] + '\\n```json\\n' + tool['arguments']|tojson + '\\n```'}}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + tool['name']}}{%- endif %}{%- endfor %}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}{{'<｜tool▁outputs▁end｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{'<｜tool▁outputs▁begin｜>' + message['content']}}{%- set ns.is_output_first = false %}{%- else %}{{'\\n' + message['content']}}{%- endif %}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<｜tool▁outputs▁end｜>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜>'}}{% endif %}"""

FAMILIES["command_r"] = """\
{{ bos_token }}{% if messages and messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% elif false == true %}{% set loop_messages = messages %}{% set system_message = 'You are Command-R.' %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% if system_message != false %}{{ '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' + system_message + '<|END_OF_TURN_TOKEN|>' }}{% endif %}
{%- macro json_to_python_type(json_spec) %}
{%- set basic_type_map = {
    "string": "str",
    "number": "float",
    "integer": "int",
    "boolean": "bool"
} %}
{%- if basic_type_map[json_spec.type] is defined %}
    {{- basic_type_map[json_spec.type] }}
{%- elif json_spec.type == "array" %}
    {{- "List[" +  json_to_python_type(json_spec.items) + "]"}}
{%- elif json_spec.type == "object" %}
    {{- "Dict[str, " + json_to_python_type(json_spec.additionalProperties) + ']'}}
{%- elif json_spec.type is iterable %}
    {{- "Union[" }}
    {%- for t in json_spec.type %}
      {{- json_to_python_type({"type": t}) }}
      {%- if not loop.last %}
        {{- "," }}
    {%- endif %}
    {%- endfor %}
    {{- "]" }}
{%- else %}
    {{- "Any" }}
{%- endif %}
{%- endmacro %}
{%- for tool in tools or [] %}
{{ "\\n```python\\ndef " + tool.function.name + "(" }}
{%- for name, fields in (tool.function.parameters.properties | default({}, true)) | items %}
    {{- name }}: {{ json_to_python_type(fields) }}{{ "" if name in tool.function.parameters.required else " = None" }}{{ ", " if not loop.last -}}
{%- endfor %}
{{- ") -> List[Dict]:" }}
{{ '"""' + tool.function.description + '"""' | indent(4, true) }}
{%- endfor %}
{% for message in loop_messages %}{% set content = message['content'] or '' %}{% if message['role'] == 'user' %}{{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + content.strip() + '<|END_OF_TURN_TOKEN|>' }}{% elif message['role'] == 'assistant' %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>'  + content.strip() + '<|END_OF_TURN_TOKEN|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}"""

FAMILIES["hermes_tools"] = """\
{%- macro describe(tool, level=0, prefix="- ") -%}
{{ "  " * level }}{{ prefix }}{{ tool.function.name }}({{ tool.function.parameters.properties.keys() | join(", ") }})
{%- if tool.function.description %}: {{ tool.function.description | replace("\\n", " ") | truncate(24) }}{% endif %}
{%- for name in tool.function.parameters.required | default([]) %}

{{ "  " * (level + 1) ~ "* " ~ name | upper }}
{%- endfor %}
{%- endmacro -%}
{% if tools %}
<|im_start|>system
{% for tool in tools %}
{{ describe(tool) }}
{{ describe(tool, level=1, prefix=loop.cycle("a ", "b ")) }}
{% endfor %}
<|im_end|>
{% endif %}
{% for message in messages if message.role != "system" %}
{%- set last = loop.last %}
<|im_start|>{{ message.role | capitalize }}{{ " (" ~ loop.index ~ "/" ~ loop.length ~ ")" }}
{% filter indent(2) %}{{ message.content if message.content is string else "-" }}{% endfilter %}
{% if loop.nextitem is defined and loop.nextitem.role == message.role %}[{{ loop.nextitem.role }} follows]{% endif %}
<|im_end|>
{% else %}
nobody speaks
{% endfor %}
"""

FAMILIES["namespace_walk"] = """\
{%- set ns = namespace(seen=[], count={}, text="") -%}
{%- for m in messages -%}
    {%- if m.role not in ns.seen -%}{%- set ns.seen = ns.seen + [m.role] -%}{%- endif -%}
    {%- set ns.text = ns.text ~ (m.content or "")[:5] ~ "|" -%}
{%- endfor -%}
{%- for role in ns.seen -%}
{{ role }}={{ messages | selectattr("role", "eq", role) | list | length }};
{%- endfor %} {{ ns.text }} {{ ns.seen | sort(reverse=true) | join("+") }} {{ ns }}
"""

FAMILIES["break_and_continue"] = """\
{% for m in messages %}
  {% if m.role == "system" %}{% continue %}{% endif %}
  {% if loop.index > 4 %}{% break %}{% endif %}
  {% generation %}
  {% set inner = m.content %}
  {{ loop.index }}:{{ loop.previtem.role if loop.previtem is defined else "start" }}>{{ m.role }}
  {% endgeneration %}
  {{ inner is defined }}
{% else %}
  nothing was completed
{% endfor %}
end
"""

FAMILIES["call_block"] = """\
{% macro turn(role, open="<", close=">") %}{{ open }}{{ role }}{{ close }}{{ caller() if caller is defined else "" }}{{ varargs | length }}{{ kwargs | length }}{% endmacro %}
{% for m in messages %}
{% call turn(m.role, open="[", close="]") %}
  {{ m.content | default("", true) | trim | title }}
{% endcall %}

{{ turn("x", "(", ")", 1, 2, a=3) }}
{% endfor %}
"""

FAMILIES["with_and_set_blocks"] = """\
{% set header %}
  [{{ messages | map(attribute="role") | join(",") }}]
{% endset %}
{% set shout | upper | trim %} {{ messages[-1].content if messages else "" }} {% endset %}
{% with a = 1, b = header | trim, (c, d) = (3, 4) if false else none %}{% endwith %}
"""
FAMILIES["with_and_set_blocks"] = FAMILIES["with_and_set_blocks"].replace(
    ", (c, d) = (3, 4) if false else none %}{% endwith %}",
    " %}{{ b }}{{ a }}{% set a = 2 %}{{ a }}{% endwith %}{{ a is defined }}") + """\
{{ header }}|{{ shout }}|
{%- raw %} {{ raw }} {% endraw -%}
{#- a comment -#}
   {%+ if true %}  plus{% endif +%}
 tail
"""

FAMILIES["content_parts"] = """\
{%- for message in messages -%}
{{- "<" ~ message["role"] ~ ">" -}}
{%- set parts = [{"type": "text", "text": message.content}] if message.content is string else (message.content or []) -%}
{%- for part in parts -%}
    {%- if part.type == "text" -%}{{ part["text"] | trim }}
    {%- else -%}{{ raise_exception("Only text: " ~ part.type) }}{%- endif -%}
{%- endfor -%}
{%- endfor -%}
{{ "\\n" if add_generation_prompt }}"""

FAMILIES["granite"] = """\
{%- if messages and messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}{%- else %}{%- set system_message = "Knowledge Cutoff Date: April 2024.\\nToday's Date: " + strftime_now('%B %d, %Y') + "." %}{%- if tools %}{%- set system_message = system_message + " You have tools." %}{%- endif %}{%- set loop_messages = messages %}{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\\n' }}
{%- if tools %}{{- '<|start_of_role|>tools<|end_of_role|>' }}{{- tools | tojson(indent=2, ensure_ascii=true) }}{{- '<|end_of_text|>\\n' }}{%- endif %}
{%- for message in loop_messages %}{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + (message['content'] or '') + '<|end_of_text|>\\n' }}{%- if loop.last and add_generation_prompt %}{{- '<|start_of_role|>assistant' }}{{- '<|end_of_role|>' }}{%- endif %}{%- endfor %}"""

FAMILIES["arithmetic"] = """\
{% set total = messages | map(attribute="content") | select("string") | map("length") | sum %}
{{ total }} {{ total / 7 }} {{ total // 7 }} {{ total % 7 }} {{ -total // 7 }} {{ (total / 7) | round(2) }} {{ "%05.1f|%s|%-6d|" | format(total / 3, messages | length, total) }}
{{ "%s has %d" % ("all", total) }} {{ "{} and {x}".format(total, x=[1, "é", None, 1.0, true]) }} {{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ range(3) | list + [none] }} {{ {"b": 1, "A": 2} | dictsort }}
"""
