// Public entry of @caramba/files.
export { claimFolder } from "./claim-folder.ts";
export {
  type CreateFile,
  DurableFile,
  makeFolder,
  removeFile,
  syncFolder,
  type WritableHandle,
  writeDurably,
  writeTextDurably,
} from "./durable-file.ts";
export { ownerIsGone, thisProcess } from "./process-name.ts";
export { decodeUtf8, memorySource, openFile, type RandomAccess, readTextFile } from "./random-access.ts";
export { canonicalJson, type Json, JsonError, JsonReader, parseStrictJson } from "./strict-json.ts";
export { readError, systemCode, writeError } from "./system-error.ts";
