/* SPDX-License-Identifier: ISC */
/*
 * An RSA key of 2048 bits, made for the tests: to make one takes too long,
 * above all under valgrind.
 */
#ifndef TESTS_RSA_KEY_H
#define TESTS_RSA_KEY_H

/* clang-format off */
static const char rsa_key_pem[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDUwBK4G0HZed1K\n"
	"lS/IcAeIfCM2VnDVV7Lly29SY1XzpcbIqkwQgyLnSNWHxIa5EC/Y8XnwiXJRVshu\n"
	"NSG6RGSbUQlOMbjScujdH11rvLe0XT2FMCeOd6IBAc+WfGePVZJBALL1JwgsDpPh\n"
	"zf4R/BIlbfkYgBFOBb3IWXKGoW5mardbsg2hx5eiemSRZs33Gegze0RMHQ8j5vu/\n"
	"lVKQsXUNHiGBDu/zl0lOrt1FtVaZ3ML2MM0IyMfZwtbfFqptDAvCMOWy0ADk0ua4\n"
	"2A7vnifAiBDkw+CEAGBfb1XcMWN72HvLzz9S2Ax9t7v2/gZ6csJyasWFkVu+6QwC\n"
	"/anwEkt9AgMBAAECggEAHUQPvyY2vHscUxhrIowwqRiEgoLJEjv2ZtCBj4iNKA9X\n"
	"pT5x6LqVWFIHV54T90yv/EyZfNp3cJN6zlg+O8CRQ2FWIZzK4x4+BL7+C6ZB8gx6\n"
	"fEIXyuwPi8prOzUBTPEVRZ5aP8l/AQp/UspSpzgw6dezMqjZWI2HIhKV48m8pVdM\n"
	"DSwK/pE6MVpgB0T7pFifB90o22eCEIcBcx5HsIvSJlUZ5eVaG7R9z5ORUgbik/Xh\n"
	"gJk9w10Qgniu4DrmcOj46LwRRUvlnWHkLa6ep/VWQmpehai1h0Q/6/zhpI+1wA8r\n"
	"xTzygaFbUYbOFuMQaqjlfi/Uel0XifenTXcWFXooyQKBgQDqTHbKhMyjvQXNAxgd\n"
	"A845mRaLx/W8MGxtNqpRVejoyyRkNUC68smwz3YjFGscJXRm51lf4+7RH9MCZpBQ\n"
	"bmDaXYqHNhT4h65uOiqB3DifhqK00Iveqa1598l/lTUEV1mbUk1GYwuJ/fdBOCyO\n"
	"AhqP6eBouwEfoBIqHCHAkLPAlQKBgQDodKrnmlgB1/5f1pNiawdDu+N7mOExbZ+g\n"
	"+1lCTgO2kiyBalpUH7d+7JRNIj288oRUvxrUNmmPfY29OxpR6ECVhRRDQk63p05w\n"
	"UIolPDsQ+5kL28noyzO1Wb8Mm7I9xOxDrDXT635dUT4GAKwMv9Zr/a/9cfGPFfP1\n"
	"rv4OiqGdSQKBgBbkH5sLvH6m4iE0ky+KhqSD+3rur2iShpVpCNznetj7t/N+bHOX\n"
	"cvMuYcltnkVit2uyYL4Io/WUmWYbpS/miNns17L8KrJZd0ZXsn17iaC0Y8MsuO2p\n"
	"QESxW+N2LXbeHegZ82jUFnWF9ZlOprO9KuEypXU2CBcR6ZRpqTaKLLW9AoGBAJNK\n"
	"SXhTDeytJdsoJV85HfNHPE72gcpGAd2JJfejYyrt2BFwiCfBqQ1dbmKpjaEJsdvY\n"
	"83D/wUdQcN00c+ruVO3o0vwDKcmo00TLY51QWsTaBxHChF9jUjJY2XtttDT7cBE5\n"
	"LypGj10luz0mc93oOD9ZEYhwCHV3nYtRBF3Gbb0xAoGAM/ANSJvS8iOwDwL468da\n"
	"cDp3HZcG1N825bDVmmRQAT6TEa1ryuoJbg4bdqi1/7Kxvin0jkb+CLqUJD6sreI7\n"
	"K7TB9JheM3GE7VFTF0TxqD0NjNnEj3PfY2gLtXQ0MaSrfYcnhbYtE0CGEFxA/7vU\n"
	"BsjXWHvoyYXKHT2gYdu+OT8=\n"
	"-----END PRIVATE KEY-----\n";
/* clang-format on */

#endif
