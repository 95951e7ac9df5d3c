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

const off = await client.PUT("/ui/admin/modules/{name}", { params: { path: { name: "chunked" } }, body: { on: false } });
check("not switched", off.data?.modules.chunked === "standby", off);
const rule = { name: "teapot", match: { path: "/version" }, fault: { status: 418 } };
const added = await client.PUT("/ui/admin/faults/rules/{name}", { params: { path: { name: rule.name } }, body: rule });
check("no rule", added.data?.faults?.rules[0]?.name === "teapot", added);
const hit = await client.GET("/version");
check("the rule does not hit", hit.response.status === 418, hit);
const removed = await client.DELETE("/ui/admin/faults/rules/{name}", { params: { path: { name: rule.name } } });
check("not removed", removed.data?.faults?.rules.length === 0, removed);
