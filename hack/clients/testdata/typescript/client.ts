// Uses the types that the test generates beside this file. The compiler checks
// paths, parameters, bodies and responses, and this program that they are true.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

declare const process: { argv: string[] };

const client = createClient<paths>({ baseUrl: process.argv[2] });

function check<T>(what: string, ok: boolean, got: T) {
  if (!ok) throw new Error(`${what}: ${JSON.stringify(got)}`);
}

const text = { "Content-Type": "text/plain" };
const asIs = (body: string | undefined) => body;

const issued = await client.POST("/token", { body: "ann", headers: text, bodySerializer: asIs });
const token: string = issued.data?.token ?? "";
const valid = await client.GET("/token/validate", { headers: { Authorization: `Bearer ${token}` } });
check("not validated", valid.data?.token_name === "ann", valid);

const refused = await client.GET("/token/validate");
check("validated without a token", refused.error?.code === 401 && refused.error.message !== "", refused);

const delayed = await client.GET("/delay/{seconds}", { params: { path: { seconds: "20ms" } } });
const delay: number | undefined = delayed.data?.delay;
check("not delayed", delay === 0.02, delayed);

const stored = await client.PUT("/store", { body: "content", headers: text, bodySerializer: asIs });
const read = await client.GET("/store/{hash}", { params: { path: { hash: stored.data?.hash ?? "" } }, parseAs: "text" });
check("not read", read.data === "content", read);

const problem = await client.GET("/delay/{seconds}", { params: { path: { seconds: "9999h" } } });
check("no error", problem.error?.code === 400, problem);
