/* SPDX-License-Identifier: ISC */
/* The table of commands, in the order of the help. */
#include "ctl/ctl.h"

const struct command *const ctl_commands[] = {
	&status_command,
	&account_list_command,
	&account_show_command,
	&account_deactivate_command,
	&order_list_command,
	&order_show_command,
	&cert_list_command,
	&cert_show_command,
	&cert_revoke_command,
	&issuer_list_command,
	&issuer_show_command,
	&issuer_test_command,
	&loop_list_command,
	&loop_show_command,
	&loop_renew_command,
	&limit_show_command,
	&limit_reset_command,
	&gc_run_command,
	&db_status_command,
	&config_check_command,
	&config_show_command,
	&drain_command,
	&eab_add_command,
	&eab_list_command,
	&eab_revoke_command,
	&eab_show_command,
	&reload_command,
	NULL,
};
