// Public entry of @caramba/instrumentation.
export { type Display, displayOn, layOut, type Output, type Work } from "./display.ts";
