# The PyTorch side of the real-size comparison: transformers' own Llama, loaded from the checkpoint under test, fused
# scaled_dot_product_attention, eager. Speaks the protocol of torch_llama.py.
import time

import torch
from transformers import AutoModelForCausalLM, DynamicCache

from torch_llama import fixed_tokens, serve


class Checkpoint:
    def __init__(self, case, compiled):
        self.case = case
        begin = time.perf_counter()
        dtype = getattr(torch, case.get("dtype", "float32"))
        self.model = AutoModelForCausalLM.from_pretrained(case["checkpoint"], dtype=dtype).eval()
        self.parts = dict(loadMs=(time.perf_counter() - begin) * 1e3)
        self.tokens = fixed_tokens(0, 1, case["length"], case["vocab"])

    def fill(self):
        cache = DynamicCache()
        return cache, self.model(self.tokens, past_key_values=cache, logits_to_keep=1).logits


class Prefill(Checkpoint):
    def run(self):
        begin = time.perf_counter()
        _, logits = self.fill()
        return (time.perf_counter() - begin) * 1e3, logits[0, -1, :8].tolist()


class Decode(Checkpoint):
    def __init__(self, case, compiled):
        super().__init__(case, compiled)
        self.cache, _ = self.fill()
        self.offset = 0

    def run(self):
        if self.offset >= self.case["decodeSteps"]:
            self.cache.crop(-self.offset)
            self.offset = 0
        token = torch.tensor([[(5 + self.offset) % self.case["vocab"]]])
        begin = time.perf_counter()
        logits = self.model(token, past_key_values=self.cache, logits_to_keep=1).logits
        took = (time.perf_counter() - begin) * 1e3
        self.offset += 1
        return took, logits[0, -1, :8].tolist()


if __name__ == "__main__":
    serve(dict(prefill=Prefill, decode=Decode))
