/* SPDX-License-Identifier: ISC */
/* The account key with which seeds/payload were made, as a JWK. */
#define SEEDS_JWK                                                              \
	"{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"zG1eZCUM_"                  \
	"p7fuH6S0ia72Eu8BlNPUdMw6iRtix05y58\",\"y\":"                          \
	"\"3rEM_Ds0IrLAn1v-VGHjRH2Kqy6rRAHUlwj1hzP"                            \
	"tMZ8\"}"
