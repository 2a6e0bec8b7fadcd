import assert from "node:assert/strict";
import { test } from "node:test";

import { authorizeQuery, toQuery } from "../src/oauth-request.ts";

test("the OAuth request is kept, without what the provider added to it", () => {
  const query = "client_id=taskflow-web&state=a%26b&resource=x&resource=y&prompt=login&exp=1&sig=2&ba_iat=3&ba_param=exp&ba_param=sig";
  assert.equal(authorizeQuery(query), "client_id=taskflow-web&state=a%26b&resource=x&resource=y");
});

test("a page that was opened by hand has no OAuth request", () => {
  assert.equal(authorizeQuery(""), undefined);
  assert.equal(authorizeQuery("redirect_uri=https://elsewhere.example&next=//elsewhere.example"), undefined);
});

test("repeated parameters of a page stay repeated", () => {
  assert.equal(toQuery({ a: ["1", "2"], b: "ü&", c: undefined }), "a=1&a=2&b=%C3%BC%26");
});
