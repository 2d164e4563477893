// For tests: the error that something ends in.
import { CarambaError } from "@caramba/tensor";

export async function failure(work: () => unknown): Promise<CarambaError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof CarambaError) return error;
    throw error;
  }
  throw new Error("no error was thrown");
}
