# The PyTorch side of the comparison: a Llama (RMSNorm, rotate-halves RoPE, grouped-query attention, SwiGLU, untied
# head, fp32) as one would write it to be fast on a CPU: fused scaled_dot_product_attention, fused AdamW, a static
# key-value cache, torch.compile. It answers JSON lines on stdin with JSON lines on stdout (protocol: src/protocol.ts),
# so that the harness can take turns between this process and Caramba's. Weights and tokens come from a counter-based
# generator that both sides implement (src/fixed-values.ts): losses and logits must agree.
import json
import os
import resource
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

ANSWERS = sys.stdout
sys.stdout = sys.stderr  # Libraries that print must not disturb the protocol.


def mixed(n, key):
    """n uniform numbers in [0, 1) with 24 bits: MurmurHash3's finaliser of a counter."""
    x = np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(key)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 16777216


def fixed_weights(index, shape, bound):
    values = (mixed(int(np.prod(shape)), (index + 1) * 7919) * 2 - 1) * bound
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def fixed_tokens(step, batch, length, vocab):
    ids = np.floor(mixed(batch * length, 1000003 + step * 104729) * vocab).astype(np.int64)
    return torch.from_numpy(ids.reshape(batch, length))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, kv = c["dModel"], c["nKvHeads"] * (c["dModel"] // c["nHeads"])
        self.heads, self.kv_heads, self.width = c["nHeads"], c["nKvHeads"], d // c["nHeads"]
        self.norm1, self.norm2 = nn.RMSNorm(d, eps=1e-5), nn.RMSNorm(d, eps=1e-5)
        self.q, self.k, self.v, self.o = (nn.Linear(d, n, bias=False) for n in (d, kv, kv, d))
        self.gate, self.up = nn.Linear(d, c["dFf"], bias=False), nn.Linear(d, c["dFf"], bias=False)
        self.down = nn.Linear(c["dFf"], d, bias=False)

    def forward(self, x, cos, sin, cache=None, position=None, mask=None):
        b, t, d = x.shape
        z = self.norm1(x)
        q = rotated(self.q(z).view(b, t, self.heads, self.width).transpose(1, 2), cos, sin)
        k = rotated(self.k(z).view(b, t, self.kv_heads, self.width).transpose(1, 2), cos, sin)
        v = self.v(z).view(b, t, self.kv_heads, self.width).transpose(1, 2)
        gqa = self.heads != self.kv_heads
        if cache is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=gqa)
        elif mask is None:  # The filled part of the cache, by its length.
            cache[0].narrow(2, position, t).copy_(k)
            cache[1].narrow(2, position, t).copy_(v)
            k, v = cache[0].narrow(2, 0, position + t), cache[1].narrow(2, 0, position + t)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1, enable_gqa=gqa)
        else:  # The whole static cache under a mask, so that no shape changes.
            cache[0].index_copy_(2, position, k)
            cache[1].index_copy_(2, position, v)
            y = F.scaled_dot_product_attention(q, cache[0], cache[1], attn_mask=mask, enable_gqa=gqa)
        x = x + self.o(y.transpose(1, 2).reshape(b, t, d))
        u = self.norm2(x)
        return x + self.down(F.silu(self.gate(u)) * self.up(u))


def rotated(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Llama(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        self.embed = nn.Embedding(c["vocab"], c["dModel"])
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["nLayers"]))
        self.norm = nn.RMSNorm(c["dModel"], eps=1e-5)
        self.head = nn.Linear(c["dModel"], c["vocab"], bias=False)
        half = c["dModel"] // c["nHeads"] // 2
        angles = torch.arange(c["maxLength"]).double()[:, None] * 10000.0 ** (-torch.arange(half).double() / half)
        self.register_buffer("cos", angles.cos().float())
        self.register_buffer("sin", angles.sin().float())

    def forward(self, tokens):
        t = tokens.shape[1]
        return self.through(tokens, self.cos[:t], self.sin[:t])

    def through(self, tokens, cos, sin, caches=None, position=None, mask=None, last=False):
        x = self.embed(tokens)
        for i, block in enumerate(self.blocks):
            x = block(x, cos, sin, caches[i] if caches else None, position, mask)
        if last:
            x = x[:, -1:]
        return self.head(self.norm(x))

    def fill(self):
        """The weights both sides begin with, in this order; matrices are [in, out] in the generator."""
        index = 0

        def matrix(layer):
            nonlocal index
            shape = (layer.in_features, layer.out_features)
            layer.weight.copy_(fixed_weights(index, shape, shape[0] ** -0.5).T)
            index += 1

        with torch.no_grad():
            self.embed.weight.copy_(fixed_weights(index, tuple(self.embed.weight.shape), 0.02 * 3**0.5))
            index += 1
            for b in self.blocks:
                for layer in (b.q, b.k, b.v, b.o, b.gate, b.up, b.down):
                    matrix(layer)
            matrix(self.head)
        return self


class Train:
    def __init__(self, case, compiled):
        self.case, self.step_index = case, 0
        self.model = model = Llama({**case, "maxLength": case["length"]}).fill()
        groups = [
            dict(params=[p for p in model.parameters() if p.dim() > 1], weight_decay=0.1),
            dict(params=[p for p in model.parameters() if p.dim() == 1], weight_decay=0.0),
        ]
        kind = case.get("optimizer", "fused")
        kind = {"fused": dict(fused=True), "foreach": dict(foreach=True)}.get(kind, {})
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, **kind)

        def loss_of(tokens, targets):
            return F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())

        self.loss_of = torch.compile(loss_of) if compiled else loss_of
        self.update = self.optimizer.step
        if compiled and case.get("optimizer") == "compiled":
            self.update = torch.compile(self.optimizer.step)

    def run(self):
        c = self.case
        tokens = fixed_tokens(self.step_index, c["batch"], c["length"], c["vocab"])
        targets = (tokens * 3 + 1) % c["vocab"]
        self.step_index += 1
        begin = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(tokens, targets)
        loss.backward()
        self.update()
        value = loss.item()
        return (time.perf_counter() - begin) * 1e3, [value]


class Prefill:
    def __init__(self, case, compiled):
        c = self.case = case
        self.model = Llama({**c, "maxLength": c["length"]}).fill().eval()
        self.tokens = fixed_tokens(0, 1, c["length"], c["vocab"])
        width = c["dModel"] // c["nHeads"]
        self.caches = [torch.zeros(2, 1, c["nKvHeads"], c["length"], width) for _ in self.model.blocks]

        def forward(tokens):
            m, t = self.model, tokens.shape[1]
            return m.through(tokens, m.cos[:t], m.sin[:t], self.caches, 0, None, last=True)

        self.forward = torch.compile(forward) if compiled else forward

    def run(self):
        begin = time.perf_counter()
        logits = self.forward(self.tokens)
        return (time.perf_counter() - begin) * 1e3, logits[0, -1, :8].tolist()


class Decode:
    """One token after `length` others; `run` decodes at growing positions, `rewind` goes back to the first."""

    def __init__(self, case, compiled):
        c = self.case = case
        self.capacity = c["length"] + c["decodeSteps"]
        self.model = Llama({**c, "maxLength": self.capacity}).fill().eval()
        width = c["dModel"] // c["nHeads"]
        self.caches = [torch.zeros(2, 1, c["nKvHeads"], self.capacity, width) for _ in self.model.blocks]
        m, t = self.model, c["length"]
        m.through(fixed_tokens(0, 1, t, c["vocab"]), m.cos[:t], m.sin[:t], self.caches, 0, None, last=True)
        self.offset = 0
        self.static = case.get("cache", "masked") == "masked" and compiled
        self.keys = torch.arange(self.capacity)

        def masked(token, position):
            mask = (self.keys <= position)[None, None, None]
            at = position.view(1)
            return m.through(token, m.cos[at], m.sin[at], self.caches, at, mask)

        def narrowed(token, position):
            cos, sin = m.cos.narrow(0, position, 1), m.sin.narrow(0, position, 1)
            return m.through(token, cos, sin, self.caches, position)

        step = masked if self.static else narrowed
        self.step = torch.compile(step, dynamic=not self.static) if compiled else step

    def run(self):
        if self.offset >= self.case["decodeSteps"]:
            self.offset = 0
        token = torch.tensor([[(5 + self.offset) % self.case["vocab"]]])
        position = self.case["length"] + self.offset
        begin = time.perf_counter()
        logits = self.step(token, torch.tensor(position) if self.static else position)
        took = (time.perf_counter() - begin) * 1e3
        self.offset += 1
        return took, logits[0, -1, :8].tolist()


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(kinds):
    """Answers the harness until it hangs up; `kinds` are the classes by kind of case."""
    before = peak_mb()
    work = None
    grad = True
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["op"] == "hello":
                answer = dict(version=torch.__version__, baseMb=before, cpu=torch.backends.cpu.get_cpu_capability())
            elif request["op"] == "setup":
                case = request["case"]
                torch.set_num_threads(request.get("threads", 2))
                for key, value in request.get("inductor", {}).items():
                    import torch._inductor.config as inductor

                    setattr(inductor, key, value)
                grad = case["kind"] == "train"
                begin = time.perf_counter()
                with torch.inference_mode(not grad):
                    work = kinds[case["kind"]](case, request.get("compiled", False))
                    first, check = work.run()
                answer = dict(setupMs=(time.perf_counter() - begin) * 1e3, firstMs=first, check=check)
                answer["parts"] = getattr(work, "parts", {})
            elif request["op"] == "run":
                with torch.inference_mode(not grad):
                    runs = [work.run() for _ in range(request["n"])]
                answer = dict(ms=[r[0] for r in runs], check=runs[-1][1])
            elif request["op"] == "profile":
                from torch.profiler import ProfilerActivity, profile

                with torch.inference_mode(not grad), profile(activities=[ProfilerActivity.CPU]) as p:
                    for _ in range(request["n"]):
                        work.run()
                answer = dict(table=p.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))
            elif request["op"] == "stats":
                answer = dict(peakMb=peak_mb(), baseMb=before)
            else:
                answer = dict(error=f"unknown request {request['op']}")
        except Exception as error:  # Reported to the harness, which prints it and goes on without this row.
            answer = dict(error=f"{type(error).__name__}: {error}"[:2000])
        print(json.dumps(answer), file=ANSWERS, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TORCHINDUCTOR_FX_GRAPH_CACHE", "1")
    serve(dict(train=Train, prefill=Prefill, decode=Decode))
