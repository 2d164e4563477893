// Activations that layers may name. A gated layer is known by its own name too (Shazeer, "GLU variants improve
// Transformer", 2020): swiglu is the gate's silu.
import { z } from "zod";

/** Name of an elementwise function. `gelu` is exact; `gelu_tanh` its approximation by tanh. */
export type Activation = "silu" | "gelu" | "gelu_tanh" | "relu" | "sigmoid" | "tanh";

const names = ["silu", "gelu", "gelu_tanh", "relu", "sigmoid", "tanh"] as const;

/** Any activation by its own name. */
export const activation: z.ZodType<Activation> = z.enum(names);

const gates = { swiglu: "silu", geglu: "gelu", reglu: "relu", glu: "sigmoid" } as const;

/** The gate's activation, also by the name of the gated layer: swiglu, geglu, reglu, glu. */
export const gateActivation: z.ZodType<Activation> = z
  .enum([...names, ...(Object.keys(gates) as (keyof typeof gates)[])])
  .transform((name): Activation => (name in gates ? gates[name as keyof typeof gates] : (name as Activation)));
