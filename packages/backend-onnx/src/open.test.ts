// This engine by its names, and what is no name.
import { openBackend } from "@caramba/tensor";
import { expect, test } from "vitest";

test.each(["onnx", "onnx:cpu", "cpu", "auto"])("%s is ONNX Runtime on the CPU", async (device) => {
  const backend = await openBackend(device, { threads: 1 });
  expect(backend.name).toBe("onnx:cpu");
  await backend.close();
});

test.each(["cuda", "mps"])("%s is ONNX Runtime's provider, or an error that says so", async (device) => {
  const name = { cuda: "onnx:cuda", mps: "onnx:coreml" }[device];
  const found = await openBackend(device).then(
    (backend) => backend.close().then(() => backend.name),
    (error: Error) => error.message,
  );
  if (found !== name) expect(found).toMatch(new RegExp(`^device "${name}" does not (?:exist|work)`));
});

test.each(["tpu", "constructor", "cpu:2", ""])("%j is no device", async (device) => {
  await expect(openBackend(device)).rejects.toMatchObject({
    code: "device",
    message: `there is no device "${device}"`,
    remedy: "use auto, cpu, cuda, mps, reference, onnx, tfjs, or an engine with its provider such as onnx:cpu",
  });
});

test("auto does not take another engine where the options are wrong", async () => {
  await expect(openBackend("auto", { threads: 0 })).rejects.toMatchObject({ code: "threads" });
});
