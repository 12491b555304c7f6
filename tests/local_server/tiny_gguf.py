"""Writes a language model of half a megabyte: `python tiny_gguf.py PATH`.

A llama of two blocks with random weights over a vocabulary of the 256 bytes. It says nonsense, but says it as a real
model does: token by token from a real server, with UTF-8 sequences split across tokens. The same file each time.
"""

import importlib
import sys
from pathlib import Path
from typing import Any, Final

SEED: Final = 7
CONTEXT: Final = 32_768
EMBEDDING: Final = 64
FEED_FORWARD: Final = 128
HEADS: Final = 4
BLOCKS: Final = 2
#: The special tokens, then one token a byte, under llama's own names for them.
VOCABULARY: Final = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
CHAT_TEMPLATE: Final = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "


def tensor_shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor that llama.cpp asks of the architecture `llama`, with its shape."""
    block = {
        "attn_norm": (EMBEDDING,),
        "attn_q": (EMBEDDING, EMBEDDING),
        "attn_k": (EMBEDDING, EMBEDDING),
        "attn_v": (EMBEDDING, EMBEDDING),
        "attn_output": (EMBEDDING, EMBEDDING),
        "ffn_norm": (EMBEDDING,),
        "ffn_gate": (FEED_FORWARD, EMBEDDING),
        "ffn_up": (FEED_FORWARD, EMBEDDING),
        "ffn_down": (EMBEDDING, FEED_FORWARD),
    }
    return {
        "token_embd": (len(VOCABULARY), EMBEDDING),
        **{f"blk.{number}.{name}": shape for number in range(BLOCKS) for name, shape in block.items()},
        "output_norm": (EMBEDDING,),
        "output": (len(VOCABULARY), EMBEDDING),
    }


def write(path: Path) -> None:
    """Write the model to `path`."""
    # Packages of the test group `server` without types; a checkout without the group still type-checks.
    gguf: Any = importlib.import_module("gguf")
    numpy: Any = importlib.import_module("numpy")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(EMBEDDING // HEADS)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(VOCABULARY)
    writer.add_token_scores([0.0] * len(VOCABULARY))
    kinds = gguf.TokenType
    writer.add_token_types([kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.BYTE] * 256)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)
    random = numpy.random.default_rng(SEED)
    for name, shape in tensor_shapes().items():
        writer.add_tensor(f"{name}.weight", random.standard_normal(shape, dtype=numpy.float32) * numpy.float32(0.1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
