// The document is one level above this page, whatever the prefix, and so are the
// paths in it, even behind a proxy that adds a prefix of which the server knows
// nothing. No validator: it would send the document to another server.
const url = new URL("../openapi.json", location.href);
const serveHere = (response) => {
  if (response.url === url.href && response.ok) {
    const servers = [{ url: new URL("..", location.href).href.replace(/\/$/, "") }];
    response.text = JSON.stringify({ ...JSON.parse(response.text), servers });
  }
  return response;
};
SwaggerUIBundle({ url: url.href, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, responseInterceptor: serveHere });
