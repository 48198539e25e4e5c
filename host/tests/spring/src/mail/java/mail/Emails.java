package mail;

import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.json.JsonParser;
import org.springframework.boot.json.JsonParserFactory;
import org.springframework.mail.SimpleMailMessage;
import org.springframework.stereotype.Component;

/** Converts a message to an e-mail. Logs the same line as the plugin of the host. */
@Component
public class Emails {
    private static final Logger LOG = LoggerFactory.getLogger(Emails.class);
    private final JsonParser parser = JsonParserFactory.getJsonParser();

    SimpleMailMessage of(String json) {
        Map<String, Object> message = parser.parseMap(json);
        SimpleMailMessage email = new SimpleMailMessage();
        email.setFrom((String) message.get("from"));
        email.setTo((String) message.get("to"));
        email.setSubject((String) message.get("subject"));
        email.setText((String) message.get("body"));
        LOG.info("이메일 발송: from={}, to={}, subject={}", email.getFrom(), message.get("to"), email.getSubject());
        return email;
    }
}
