import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.wait.strategy.Wait;
import org.testcontainers.junit.jupiter.Container;
import org.testcontainers.junit.jupiter.Testcontainers;

@Testcontainers
class PodinfoTest {
  @Container
  static final GenericContainer<?> podinfo =
      new GenericContainer<>("ghcr.io/seed-4591fe7d/podinfo:6.15.0")
          .withExposedPorts(9898)
          .withEnv("PODINFO_FAULTS", """
              rules:
              - name: first-two-fail
                match: { path: /echo, per: "header:x-request-id" }
                when: { first: 2 }
                fault: { status: 503 }
              """)
          .waitingFor(Wait.forHttp("/readyz").forPort(9898));

  @Test
  void thirdAttemptSucceeds() throws Exception {
    var url = URI.create("http://" + podinfo.getHost() + ":" + podinfo.getMappedPort(9898) + "/echo");
    var request = HttpRequest.newBuilder(url).header("X-Request-Id", "java").POST(BodyPublishers.ofString("hello")).build();
    var statuses = new ArrayList<Integer>();
    for (var attempt = 0; attempt < 3; attempt++) { // your client retries by itself
      statuses.add(HttpClient.newHttpClient().send(request, BodyHandlers.discarding()).statusCode());
    }
    assertEquals(List.of(503, 503, 202), statuses);
  }
}
