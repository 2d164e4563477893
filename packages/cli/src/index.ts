// Public entry of @caramba/cli: the command as a function.
export { exitCodes, main } from "./main.ts";
