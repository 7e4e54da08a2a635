import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Posts bodies with the JDK's own client as it is by default, which prefers HTTP/2 and therefore sends
 * `Upgrade: h2c` over plain http. LangChain4j, Spring AI and Ktor speak through this client.
 *
 * <p>java Ask.java (whole|lines URL FILE)...: for each a line "== VERSION STATUS", then the body whole, or its
 * lines as they come. One client asks everything, so connections are used again.
 */
class Ask {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int at = 0; at < arguments.length; at += 3) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[at + 1]))
                    .header("content-type", "application/json")
                    .header("authorization", "Bearer any")
                    .POST(HttpRequest.BodyPublishers.ofString(Files.readString(Path.of(arguments[at + 2]))))
                    .build();
            if (arguments[at].equals("lines")) {
                var answer = client.send(request, HttpResponse.BodyHandlers.ofLines());
                System.out.println("== " + answer.version() + " " + answer.statusCode());
                answer.body().forEach(System.out::println);
            } else {
                var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                System.out.println("== " + answer.version() + " " + answer.statusCode());
                System.out.println(answer.body());
            }
        }
    }
}
