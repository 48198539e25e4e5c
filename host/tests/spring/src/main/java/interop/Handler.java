package interop;

import java.nio.ByteBuffer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.springframework.boot.json.JsonParserFactory;
import org.springframework.kafka.retrytopic.RetryTopicHeaders;
import org.springframework.stereotype.Component;

/** Fails as each message requests: {"id": "…", "do": "done" | "retry", "until": N}, like the guest `faulty` of the host. */
@Component
public class Handler {
    public void handle(ConsumerRecord<String, String> message) {
        var request = JsonParserFactory.getJsonParser().parseMap(message.value());
        int attempt = attempt(message);
        Trace.line("delivery at=%d topic=%s attempt=%d id=%s", System.currentTimeMillis(), message.topic(), attempt, request.get("id"));
        int until = request.get("until") instanceof Number last ? last.intValue() : Integer.MAX_VALUE;
        if ("retry".equals(request.get("do")) && attempt <= until) {
            throw new IllegalStateException("asked to retry");
        }
    }

    /** The last header counts. A message on the main topic has none. */
    private static int attempt(ConsumerRecord<?, ?> message) {
        Header header = message.headers().lastHeader(RetryTopicHeaders.DEFAULT_HEADER_ATTEMPTS);
        return header == null ? 1 : ByteBuffer.wrap(header.value()).getInt();
    }
}
