"""Writes a tiny random language model in GGUF: a script for the virtualenv that holds gguf and llama.cpp.

The weights are noise from a fixed seed, so what the model says is nonsense, and the same nonsense each time at
temperature 0. The rows of the control and byte tokens are zero in the output layer, so that it speaks in whole words
and never ends by itself: `max_tokens` decides the length.
"""

from __future__ import annotations

import sys
from pathlib import Path

CONTEXT, WIDTH, HEADS, LAYERS, FEED_FORWARD = 2048, 32, 4, 2, 64
SYLLABLES = ("ba", "de", "fi", "go", "hu", "ja", "ke", "li", "mo", "nu")
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def write_model(path: Path) -> None:
    """About 200 kB: a llama of two layers with a SentencePiece-like vocabulary of 359 tokens."""
    import gguf
    import numpy

    words = [f"\u2581{first}{second}" for first in SYLLABLES for second in SYLLABLES]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    kind = gguf.TokenType
    types = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256, *[kind.NORMAL] * len(words)]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny-random")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 259 + [-float(rank) for rank in range(1, len(words) + 1)])
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)

    noise = numpy.random.default_rng(20)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(f"{name}.weight", noise.normal(0, 0.3, shape).astype(numpy.float32))

    def add_ones(name: str) -> None:
        writer.add_tensor(f"{name}.weight", numpy.ones(WIDTH, dtype=numpy.float32))

    add("token_embd", len(tokens), WIDTH)
    for layer in range(LAYERS):
        add_ones(f"blk.{layer}.attn_norm")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{part}", WIDTH, WIDTH)
        add_ones(f"blk.{layer}.ffn_norm")
        add(f"blk.{layer}.ffn_gate", FEED_FORWARD, WIDTH)
        add(f"blk.{layer}.ffn_up", FEED_FORWARD, WIDTH)
        add(f"blk.{layer}.ffn_down", WIDTH, FEED_FORWARD)
    add_ones("output_norm")
    output = noise.normal(0, 1, (len(tokens), WIDTH)).astype(numpy.float32)
    output[:259] = 0
    writer.add_tensor("output.weight", output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write_model(Path(sys.argv[1]))
