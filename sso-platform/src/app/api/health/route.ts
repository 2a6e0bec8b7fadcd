import { errorCode, missingTables } from "../../../db/client.ts";

export const dynamic = "force-dynamic";

/** 200 only when the database answers and has every table of ours; else 503, saying what is missing. */
export async function GET(): Promise<Response> {
  try {
    const missing = await missingTables();
    if (missing.length === 0) return Response.json({ status: "ok" });
    return Response.json({ status: "unavailable", database: "answers", missing }, { status: 503 });
  } catch (error) {
    return Response.json({ status: "unavailable", database: errorCode(error) }, { status: 503 });
  }
}
