"""Writes tests/fixtures/text/chat_templates.json: chat templates of the forms that published models carry, and what Transformers renders
of conversations with each.

Needs a Python environment with transformers and jinja2. The versions used are noted in the file. The day's date is held at 1 Feb 2026.
"""

import datetime
import json
import pathlib
from unittest import mock

import jinja2
import transformers
from transformers.utils import chat_template_utils

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "text" / "chat_templates.json"

CHATML_LOOP = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
               "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
LLAMA3_LOOP = ("{%- for message in messages %}\n    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ "
               "message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n"
               "    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n")
QWEN_HEAD = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n{\\"name\\": <function-name>}<|im_end|>\\n" }}
{%- else %}
"""
QWEN25 = QWEN_HEAD + """    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
QWEN3 = QWEN_HEAD + """    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
LLAMA31_HEAD = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    DATE
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
"""
DATE_31 = '{%- set date_string = "26 Jul 2024" %}'
DATE_32 = ("{%- if strftime_now is defined %}\n        {%- set date_string = strftime_now(\"%d %b %Y\") %}\n    {%- else %}\n        "
           "{%- set date_string = \"26 Jul 2024\" %}\n    {%- endif %}")

TEMPLATES = {
    "chatml": CHATML_LOOP,
    "chatml with bos": "{{ bos_token }}" + CHATML_LOOP,
    "smollm2": CHATML_LOOP.replace("{% for message in messages %}", "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' "
                                   "%}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"),
    "llama-factory": "{% set system_message = 'You are a helpful assistant.' %}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
                     "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}"
                     "{% if system_message is defined %}{{ '<|im_start|>system\n' + system_message + '<|im_end|>\n' }}{% endif %}"
                     "{% for message in loop_messages %}{% set content = message['content'] %}{% if message['role'] == 'user' %}"
                     "{{ '<|im_start|>user\n' + content + '<|im_end|>\n<|im_start|>assistant\n' }}{% elif message['role'] == 'assistant' %}"
                     "{{ content + '<|im_end|>' + '\n' }}{% endif %}{% endfor %}",
    "qwen2.5": QWEN25,
    "qwen3": QWEN3,
    "qwq": QWEN25.replace("'<|im_start|>assistant\\n' }}\n{%- endif", "'<|im_start|>assistant\\n<think>\\n' }}\n{%- endif"),
    "no system": "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML_LOOP,
    "other roles": CHATML_LOOP.replace("message['role'] +", "('human' if message['role'] == 'user' else message['role']) +"),
    "macro": "{% macro turn(message) %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endmacro %}"
             "{% for message in messages %}{{ turn(message) }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + "
              "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
              "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "llama3.1": LLAMA31_HEAD.replace("DATE", DATE_31) + LLAMA3_LOOP,
    "llama3.2": LLAMA31_HEAD.replace("DATE", DATE_32) + LLAMA3_LOOP,
    "mistral": "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
               "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% endif %}{% endfor %}",
    "gemma": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
             "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}",
    "zephyr": "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif "
              "message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and "
              "add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    "phi3": "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}",
    "phi4": "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' }}{% endfor %}",
    "deepseek": "{{ bos_token }}{% for message in messages %}{{ '<｜User｜>' + message['content'] }}{% endfor %}",
    "alpaca": "{% for message in messages %}{{ '### Instruction:\n' + message['content'] + '\n\n' }}{% endfor %}### Response:\n",
    "vicuna": "{% for message in messages %}{{ 'USER: ' + message['content'] + ' ' }}{% endfor %}ASSISTANT:",
    "plain": "{% for message in messages %}{{ message['content'] }}{% endfor %}",
}

SYSTEM = {"role": "system", "content": "Be kind."}
USER = {"role": "user", "content": "What is 2 + 2?\n\nReally?"}
ANSWER = {"role": "assistant", "content": "It is 4."}
MORE = {"role": "user", "content": "Sure? 日本 😀"}
CONVERSATIONS = [([USER], True), ([SYSTEM, USER], True), ([USER, ANSWER, MORE], True), ([SYSTEM, USER, ANSWER, MORE], True),
                 ([SYSTEM, USER, ANSWER], False), ([USER, {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nIt is 4."}, MORE], True),
                 ([{"role": "user", "content": " a "}], True)]


class Date(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 2, 1)


def main():
    tokenizer = transformers.LlamaTokenizer(bos_token="<s>", eos_token="</s>")
    result = {"transformers": transformers.__version__, "jinja2": jinja2.__version__,
              "conversations": [{"messages": messages, "add_generation_prompt": prompt} for messages, prompt in CONVERSATIONS],
              "templates": {}}
    for name, template in TEMPLATES.items():
        tokenizer.chat_template = template
        texts = []
        for messages, prompt in CONVERSATIONS:
            try:
                with mock.patch.object(chat_template_utils, "datetime", Date):
                    texts.append(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))
            except jinja2.exceptions.TemplateError:
                texts.append(None)
        result["templates"][name] = {"template": template, "rendered": texts}
    OUT.write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
