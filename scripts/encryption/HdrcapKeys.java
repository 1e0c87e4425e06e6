import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.hadoop.conf.Configuration;
import org.apache.parquet.crypto.KeyAccessDeniedException;
import org.apache.parquet.crypto.keytools.KmsClient;

/**
 * Gives Spark the keys of an hdrcap key file, which hdrcap.encryption.keys in its Hadoop configuration names; every
 * executor reads it. Files name a key by its id, and a key is what stands behind that id in [keys].
 */
public class HdrcapKeys implements KmsClient {
  private static final Pattern KEY = Pattern.compile("^([0-9a-f]{8}) = \"([A-Za-z0-9+/=]+)\"$", Pattern.MULTILINE);

  private final Map<String, byte[]> keys = new HashMap<>();

  @Override
  public void initialize(Configuration configuration, String instance, String url, String token) {
    String file = configuration.get("hdrcap.encryption.keys");
    if (file == null) {
      throw new IllegalArgumentException("hdrcap.encryption.keys does not name the key file");
    }
    try {
      String text = Files.readString(Path.of(file));
      Matcher found = KEY.matcher(text.substring(text.lastIndexOf("[keys]")));
      while (found.find()) {
        keys.put(found.group(1), Base64.getDecoder().decode(found.group(2)));
      }
    } catch (IOException error) {
      throw new IllegalArgumentException("cannot read the keys in " + file, error);
    }
  }

  @Override
  public byte[] unwrapKey(String id, String sameId) {
    byte[] key = keys.get(id);
    if (key == null) {
      throw new KeyAccessDeniedException("the key file has no key " + id);
    }
    return key;
  }

  @Override
  public String wrapKey(byte[] key, String id) {
    throw new UnsupportedOperationException("hdrcap's keys are for reading");
  }
}
