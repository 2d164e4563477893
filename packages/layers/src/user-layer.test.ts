// Layers from outside: what is built must be what was registered, since plans count without building.
import { Variable } from "@caramba/tensor";
import { describe, expect, it } from "vitest";
import { LinearLayer } from "./linear.ts";
import { Module, type StatePart } from "./module.ts";
import { buildLayer } from "./registry.ts";
import { registerLayer } from "./user-layer.ts";

/** Three trained numbers, two frozen ones, a state of six and a linear map of 4 x 4 + 4. */
class Own extends Module {
  readonly type: string;
  readonly trained: Variable = new Variable("trained", [3]);
  readonly frozen: Variable = new Variable("frozen", [2], { trainable: false });
  readonly linear: LinearLayer = new LinearLayer({ dIn: 4, dOut: 4 });
  readonly stateParts: readonly StatePart[] = [{ name: "h", shape: [2, 3] }];

  constructor(type: string) {
    super();
    this.type = type;
  }
  override get ownVariables(): readonly (readonly [string, Variable])[] {
    return [
      ["trained", this.trained],
      ["frozen", this.frozen],
    ];
  }
  override get children(): readonly (readonly [string, Module])[] {
    return [["linear", this.linear]];
  }
  forward = (): never => {
    throw new Error("not asked for");
  };
}

const right = { parameters: () => 23, frozen: () => 2, stateElements: () => 6 };
const build = (name: string, facts: object, actual = name): Module => {
  const type = `facts/${name}` as const;
  registerLayer({ type, fields: {}, width: () => null, ...right, ...facts, build: () => new Own(`facts/${actual}`) });
  return buildLayer({ type });
};

describe("a registered layer", () => {
  it("is built when its facts are right", () => {
    expect(build("Right", {})).toBeInstanceOf(Own);
  });

  it.each([
    ["Fewer", { parameters: () => 3 }, "parameters 3, and what it builds has 23"],
    ["Thawed", { frozen: () => 0 }, "frozen 0, and what it builds has 2"],
    ["Forgetful", { stateElements: undefined }, "stateElements 0, and what it builds has 6"],
    ["Cached", { cacheElementsPerToken: () => 8 }, "cacheElementsPerToken 8, and what it builds has 0"],
  ])("is refused otherwise: %s", (name, facts, message) => {
    expect(() => build(name, facts)).toThrow(
      expect.objectContaining({ code: "user-layer", message: expect.stringContaining(message) }) as Error,
    );
  });

  it("has the type of its registration", () => {
    expect(() => build("Named", {}, "Other")).toThrow(/registered with type "facts\/Named".*"facts\/Other"/);
  });

  it("is unknown before", () => {
    expect(() => buildLayer({ type: "facts/Unknown" })).toThrow(
      expect.objectContaining({ code: "unknown-layer", remedy: expect.stringContaining("--import") }) as Error,
    );
  });
});
