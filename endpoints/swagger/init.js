// The document lies beside the page, whatever the prefix. No validator: it
// would send the document to somebody else's server.
SwaggerUIBundle({ url: "doc.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
