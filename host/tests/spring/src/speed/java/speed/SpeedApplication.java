package speed;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** Reads the fields of e-mails from JSON and discards them, for the benchmark. */
@SpringBootApplication
public class SpeedApplication {
    public static void main(String[] args) {
        SpringApplication.run(SpeedApplication.class, args);
    }
}
